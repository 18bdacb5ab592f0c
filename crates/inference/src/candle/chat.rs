//! A GGUF file that answers.

use super::calculation;
use super::llama::Llama;
use super::sample::Sampler;
use super::tail::Tail;
use super::tokens::Tokens;
use crate::model::{InferError, LoadError, Metadata, Model, Say, Stop};
use crate::tensor::Tensor;
use crate::weights::gguf::Gguf;
use crate::weights::{CONTEXT_TOKENS_MAX, of_gguf};
use crate::words::{Finish, Generate, Part, Prompt, Said, Template};

/// Tokens of a question that are read at once. What they hear of each other is a table of this times all.
const READ_TOKENS: usize = 256;

/// A model in memory.
pub struct Chat {
    metadata: Metadata,
    llama: Llama,
    tokens: Tokens,
    template: Option<Template>,
    /// What ends an answer.
    ends: Vec<u32>,
    context_tokens: u64,
    memory_bytes: usize,
}

impl std::fmt::Debug for Chat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Chat").field("metadata", &self.metadata).finish_non_exhaustive()
    }
}

impl Chat {
    /// Reads a file.
    pub fn load(file: &[u8]) -> Result<Self, LoadError> {
        let gguf = Gguf::read(file)?;
        let mut language = of_gguf(&gguf)?;
        let llama = Llama::load(&gguf)?;
        let tokens = Tokens::read(&gguf)?;
        if tokens.count() != llama.words() {
            let what = "it has other words than numbers for them".to_owned();
            return Err(LoadError::Weights { format: "GGUF", what });
        }
        let context_tokens =
            language.context_tokens.min(llama.context_tokens).min(CONTEXT_TOKENS_MAX);
        language.context_tokens = context_tokens;
        let template = gguf.text("tokenizer.chat_template").and_then(Template::named);
        let mut ends = tokens.ends.clone();
        let of_form = template.map_or(&[][..], Template::ends);
        ends.extend(of_form.iter().filter_map(|name| tokens.mark(name)));
        let metadata = Metadata { language: Some(language), ..Metadata::default() };
        let memory_bytes = gguf.tensors.values().map(|it| it.bytes.len()).sum();
        Ok(Self { metadata, llama, tokens, template, ends, context_tokens, memory_bytes })
    }

    /// What each token is worth behind these.
    pub fn worth(&self, tokens: &[u32]) -> Result<Vec<f32>, InferError> {
        let mut kept = self.llama.keep(tokens.len()).map_err(calculation)?;
        self.llama.forward(tokens, &mut kept).map_err(calculation)
    }

    /// The question as tokens, up to where the model is to go on.
    pub fn prompt(&self, prompt: &Prompt) -> Result<Vec<u32>, InferError> {
        let parts = match prompt {
            Prompt::Text(text) => vec![Part::Text(text.clone())],
            Prompt::Chat(messages) => self.template.ok_or(InferError::NoTemplate)?.render(messages),
        };
        let mut all: Vec<u32> = self.tokens.begin.into_iter().collect();
        // Marks that the model does not have are written out.
        let mut text = String::new();
        let mut is_first = true;
        for part in parts {
            match part {
                Part::Text(more) => text.push_str(&more),
                Part::Mark(name) => match self.tokens.mark(name) {
                    None => text.push_str(name),
                    Some(mark) => {
                        all.extend(self.tokens.encode(&std::mem::take(&mut text), is_first)?);
                        all.push(mark);
                        is_first = false;
                    }
                },
            }
        }
        all.extend(self.tokens.encode(&text, is_first)?);
        Ok(all)
    }
}

impl Model for Chat {
    fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    fn memory_bytes(&self) -> usize {
        self.memory_bytes
    }

    fn infer(&self, _: Vec<Tensor>, _: &Stop) -> Result<Vec<Tensor>, InferError> {
        Err(InferError::NotFor { what: "tensors" })
    }

    fn generate(&self, ask: &Generate, say: &mut Say<'_>, stop: &Stop) -> Result<Said, InferError> {
        let prompt = self.prompt(&ask.prompt)?;
        let (given, most) = (prompt.len() as u64, self.context_tokens);
        if given == 0 || given >= most {
            return Err(match given {
                0 => InferError::Empty,
                _ => InferError::TooLong { what: "the question".to_owned(), given, most },
            });
        }
        let room = ask.output_tokens_max.map_or(most - given, |it| it.min(most - given));
        let mut kept = self.llama.keep((given + room) as usize).map_err(calculation)?;
        let mut worth = Vec::new();
        for tokens in prompt.chunks(READ_TOKENS) {
            stop.check()?;
            worth = self.llama.forward(tokens, &mut kept).map_err(calculation)?;
        }
        let mut sampler = Sampler::new(ask.temperature, ask.top_p, ask.seed);
        let mut tail = Tail::new(ask.stop.clone(), self.tokens.is_of_pieces());
        let mut said = Said { finish: Finish::Length, input_tokens: given, output_tokens: 0 };
        while said.output_tokens < room {
            stop.check()?;
            let token = sampler.next(&worth)?;
            said.output_tokens += 1;
            if self.ends.contains(&token) {
                said.finish = Finish::Stop;
                break;
            }
            let (text, is_over) = tail.push(self.tokens.bytes(token));
            if !text.is_empty() {
                say(&text)?;
            }
            if is_over {
                said.finish = Finish::Stop;
                return Ok(said);
            }
            if said.output_tokens < room {
                worth = self.llama.forward(&[token], &mut kept).map_err(calculation)?;
            }
        }
        let rest = tail.rest();
        if !rest.is_empty() {
            say(&rest)?;
        }
        Ok(said)
    }

    /// One token, which is thrown away.
    fn warm(&self) -> Result<(), InferError> {
        self.worth(&[0]).map(drop)
    }
}
