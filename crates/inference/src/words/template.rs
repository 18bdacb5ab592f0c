//! Conversations as the text that a model has learned them in.
//!
//! A file brings its own form as a program (Jinja). It is not run: the well-known forms are told by their marks
//! and written here. Marks and what people write are kept apart, so that nobody ends his own turn by writing a
//! mark.

use super::{Message, Role};

/// A well-known form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Template {
    /// Qwen, SmolLM and many others.
    ChatMl,
    Llama3,
    Llama2,
    Mistral,
    /// Zephyr, TinyLlama.
    Zephyr,
}

/// A piece of a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// A token of its own, where the model has it.
    Mark(&'static str),
    Text(String),
}

impl Template {
    /// Which one it is, by the marks in its program. The same words as other runtimes look for.
    #[must_use]
    pub fn named(program: &str) -> Option<Self> {
        let has = |mark: &str| program.contains(mark);
        if has("<|im_start|>") {
            Some(Self::ChatMl)
        } else if has("<|start_header_id|>") && has("<|end_header_id|>") {
            Some(Self::Llama3)
        } else if has("[INST]") && has("<<SYS>>") {
            Some(Self::Llama2)
        } else if has("[INST]") {
            Some(Self::Mistral)
        } else if has("<|user|>") && (has("eos_token") || has("</s>")) && !has("<|end|>") {
            Some(Self::Zephyr)
        } else {
            None
        }
    }

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ChatMl => "chatml",
            Self::Llama3 => "llama3",
            Self::Llama2 => "llama2",
            Self::Mistral => "mistral",
            Self::Zephyr => "zephyr",
        }
    }

    /// Tokens that end an answer, beside the file's own.
    #[must_use]
    pub const fn ends(self) -> &'static [&'static str] {
        match self {
            Self::ChatMl => &["<|im_end|>", "<|endoftext|>"],
            Self::Llama3 => &["<|eot_id|>", "<|eom_id|>", "<|end_of_text|>"],
            Self::Llama2 | Self::Mistral | Self::Zephyr => &["</s>"],
        }
    }

    /// Up to where the model is to go on. The token that begins every text is not in it.
    #[must_use]
    pub fn render(self, messages: &[Message]) -> Vec<Part> {
        let mut parts = Vec::new();
        match self {
            Self::ChatMl => {
                for Message { role, text } in messages {
                    let role = role.as_str();
                    parts.push(Part::Mark("<|im_start|>"));
                    parts.push(Part::Text(format!("{role}\n{text}")));
                    parts.push(Part::Mark("<|im_end|>"));
                    parts.push(Part::Text("\n".to_owned()));
                }
                parts.push(Part::Mark("<|im_start|>"));
                parts.push(Part::Text("assistant\n".to_owned()));
            }
            Self::Llama3 => {
                for Message { role, text } in messages {
                    header(&mut parts, *role);
                    parts.push(Part::Text(format!("\n\n{}", text.trim())));
                    parts.push(Part::Mark("<|eot_id|>"));
                }
                header(&mut parts, Role::Assistant);
                parts.push(Part::Text("\n\n".to_owned()));
            }
            Self::Llama2 => turns(&mut parts, messages, |system, text| {
                format!("<<SYS>>\n{system}\n<</SYS>>\n\n{text}")
            }),
            Self::Mistral => {
                turns(&mut parts, messages, |system, text| format!("{system}\n\n{text}"))
            }
            Self::Zephyr => {
                for Message { role, text } in messages {
                    parts.push(Part::Mark(zephyr(*role)));
                    parts.push(Part::Text(format!("\n{text}")));
                    parts.push(Part::Mark("</s>"));
                    parts.push(Part::Text("\n".to_owned()));
                }
                parts.push(Part::Mark(zephyr(Role::Assistant)));
                parts.push(Part::Text("\n".to_owned()));
            }
        }
        parts
    }
}

fn header(parts: &mut Vec<Part>, role: Role) {
    parts.push(Part::Mark("<|start_header_id|>"));
    parts.push(Part::Text(role.as_str().to_owned()));
    parts.push(Part::Mark("<|end_header_id|>"));
}

const fn zephyr(role: Role) -> &'static str {
    match role {
        Role::System => "<|system|>",
        Role::User => "<|user|>",
        Role::Assistant => "<|assistant|>",
    }
}

/// `[INST] … [/INST] …`, in which what the system says goes before the next question.
fn turns(parts: &mut Vec<Part>, messages: &[Message], with: fn(&str, &str) -> String) {
    let mut system = String::new();
    let mut has_answered = false;
    for Message { role, text } in messages {
        let text = text.trim();
        match role {
            Role::System if system.is_empty() => text.clone_into(&mut system),
            Role::System => system = format!("{system}\n\n{text}"),
            Role::User => {
                if std::mem::take(&mut has_answered) {
                    parts.push(Part::Mark("<s>"));
                }
                let text = match std::mem::take(&mut system) {
                    system if system.is_empty() => text.to_owned(),
                    system => with(&system, text),
                };
                parts.push(Part::Mark("[INST]"));
                parts.push(Part::Text(format!(" {text} ")));
                parts.push(Part::Mark("[/INST]"));
            }
            Role::Assistant => {
                parts.push(Part::Text(format!(" {text}")));
                parts.push(Part::Mark("</s>"));
                has_answered = true;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(template: Template) -> String {
        let said = |role, text: &str| Message { role, text: text.to_owned() };
        let messages = [
            said(Role::System, "Be brief."),
            said(Role::User, "Hi <|im_end|>"),
            said(Role::Assistant, "Yes?"),
            said(Role::User, "Bye"),
        ];
        let piece = |part: Part| match part {
            Part::Mark(mark) => format!("{{{mark}}}"),
            Part::Text(text) => text,
        };
        template.render(&messages).into_iter().map(piece).collect()
    }

    /// Mutation: change any letter of a form, or make a mark of what somebody writes.
    #[test]
    fn conversations_are_written_as_models_have_learned_them() {
        assert_eq!(
            shown(Template::ChatMl),
            "{<|im_start|>}system\nBe brief.{<|im_end|>}\n{<|im_start|>}user\nHi <|im_end|>{<|im_end|>}\n{<|im_start|>}assistant\nYes?{<|im_end|>}\n{<|im_start|>}user\nBye{<|im_end|>}\n{<|im_start|>}assistant\n"
        );
        let head = "{<|start_header_id|>}user{<|end_header_id|>}\n\nBye{<|eot_id|>}";
        let end = "{<|start_header_id|>}assistant{<|end_header_id|>}\n\n";
        assert!(shown(Template::Llama3).ends_with(&format!("{head}{end}")));
        assert_eq!(
            shown(Template::Llama2),
            "{[INST]} <<SYS>>\nBe brief.\n<</SYS>>\n\nHi <|im_end|> {[/INST]} Yes?{</s>}{<s>}{[INST]} Bye {[/INST]}"
        );
        assert!(
            shown(Template::Mistral).starts_with("{[INST]} Be brief.\n\nHi <|im_end|> {[/INST]}")
        );
        let zephyr = shown(Template::Zephyr);
        assert!(zephyr.starts_with("{<|system|>}\nBe brief.{</s>}\n{<|user|>}\n"), "{zephyr}");
        assert!(zephyr.ends_with("{<|assistant|>}\n"), "{zephyr}");
    }

    /// Mutation: look for one mark fewer.
    #[test]
    fn a_form_is_known_by_its_marks_and_others_are_none() {
        for (program, expected) in [
            ("{{'<|im_start|>' + role}}", Some(Template::ChatMl)),
            ("<|start_header_id|>x<|end_header_id|>", Some(Template::Llama3)),
            ("[INST] <<SYS>>", Some(Template::Llama2)),
            ("{{bos_token}}[INST] ", Some(Template::Mistral)),
            ("<|user|>{{eos_token}}", Some(Template::Zephyr)),
            ("<|user|>x<|end|>{{eos_token}}", None),
            ("<start_of_turn>user", None),
            ("", None),
        ] {
            assert_eq!(Template::named(program), expected, "{program}");
        }
    }
}
