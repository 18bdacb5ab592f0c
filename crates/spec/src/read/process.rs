//! `run`: scripts and shell commands. What they may do is decided where they run.

use crate::code::Code;
use crate::near;
use crate::node::Kind;
use crate::problems::shown;
use crate::revision::ReferenceKind;
use crate::tree::{Language, Process, Program, Returns, TaskKind, Template, Text};

use super::Reader;
use super::expression::{Around, Position, is_expression};
use super::fields::{Fields, Item, quoted};
use super::task::Within;

/// The kinds of `run`.
const KINDS: [&str; 4] = ["container", "script", "shell", "workflow"];

/// What the site itself says to a process: who sets it would break what the documentation promises.
const RESERVED_PREFIX: &str = "ISONOMY_";

impl<'a> Reader<'a> {
    pub(super) fn run(&mut self, item: Item<'a>, within: &Within<'_>) -> Option<TaskKind> {
        let entries = self.entries(item)?;
        let kinds: Vec<_> = entries.iter().filter(|it| KINDS.contains(&&*it.key)).collect();
        let known: Vec<&str> = KINDS.into_iter().chain(["await", "return"]).collect();
        let [kind] = kinds[..] else {
            let message = match kinds.as_slice() {
                [] => "`run` does not say what to run".to_owned(),
                [first, second, ..] => {
                    format!("`run` runs two things, `{}` and `{}`", first.key, second.key)
                }
                [_] => unreachable!("matched above"),
            };
            self.refuse_unknown(entries, &known);
            let hint = format!("give it one of {}", quoted(&KINDS));
            self.report(Code::RunKind, item.at, message, Some(hint));
            return None;
        };
        if &*kind.key == "container" {
            self.not_yet(Code::NotYetRun, kind.key_at, "`run: container`");
            return None;
        }
        let fields = self.fields(item, &known)?;
        let wait = match fields.get("await") {
            Some(item) => self.boolean(item),
            None => Some(true),
        };
        let returns = self.returns(&fields);
        if &*kind.key == "workflow" {
            return self.child(kind.into(), wait, within.around).map(TaskKind::Child);
        }
        let process = self.process(&kind.key, kind.into(), within.around, returns, wait);
        process.map(TaskKind::Process)
    }

    fn returns(&mut self, fields: &Fields<'a>) -> Option<Returns> {
        let Some(item) = fields.get("return") else { return Some(Returns::default()) };
        self.one_of(item, &Returns::NAMES).and_then(Returns::parse)
    }

    fn process(
        &mut self,
        kind: &str,
        item: Item<'a>,
        around: &Around,
        returns: Option<Returns>,
        wait: Option<bool>,
    ) -> Option<Process> {
        let also: &[&str] = match kind {
            "script" => &["language", "code", "source"],
            _ => &["command"],
        };
        let known: Vec<&str> =
            ["stdin", "arguments", "environment"].iter().chain(also).copied().collect();
        let fields = self.fields(item, &known)?;
        let program = match kind {
            "script" => self.script(&fields, around),
            _ => self.command(&fields, around),
        };
        let stdin = fields.get("stdin").map(|item| self.stdin(item, around));
        let arguments = fields.get("arguments").map(|item| self.arguments(item, around));
        let environment = fields.get("environment").map(|item| self.environment(item, around));
        Some(Process {
            program: program?,
            stdin: flat(stdin)?,
            arguments: flat(arguments)?,
            environment: flat(environment)?,
            returns: returns?,
            wait: wait?,
        })
    }

    fn script(&mut self, fields: &Fields<'a>, around: &Around) -> Option<Program> {
        let language = self.require(fields, "language").and_then(|item| self.language(item));
        if let Some(source) = fields.get("source") {
            if fields.get("code").is_some() {
                let message = "a script has either `code` or `source`";
                self.report(Code::WrongValue, source.at, message, None);
                return None;
            }
            let code = match self.external(source, ReferenceKind::Script).ok()? {
                Some(resource) => resource.text,
                // Nobody has looked yet; it is not run like this.
                None => "".into(),
            };
            return Some(Program::Script { language: language?, code: Text::Fixed(code) });
        }
        let code = self.require(fields, "code").and_then(|item| self.code(item, around));
        Some(Program::Script { language: language?, code: code? })
    }

    fn command(&mut self, fields: &Fields<'a>, around: &Around) -> Option<Program> {
        let item = self.require(fields, "command")?;
        let command = self.code(item, around)?;
        if let Text::Fixed(text) = &command
            && has_expression_within(text)
        {
            let hint = "pass the value by `arguments` (`$1`), `environment` or `stdin`: that is safe with every value";
            self.report(
                Code::TextExpression,
                item.node.at,
                "this is a shell command, and the `${ }` in it is the shell's, not an expression",
                Some(hint.into()),
            );
        }
        Some(Program::Shell { command })
    }

    /// Text as it is, since `${` is something of their own in most languages; or an expression that
    /// is the whole of it.
    fn code(&mut self, item: Item<'a>, around: &Around) -> Option<Text> {
        let text = self.text(item)?;
        // `${HOME}` is a whole shell command as well; an expression is written with a space.
        if is_expression(text) && has_expression_within(text) {
            return self.marked(item, Position::Effect, around)?.map(Text::Expr);
        }
        if text.trim().is_empty() {
            return self.wrong_value(item, "there is nothing to run", None);
        }
        Some(Text::Fixed(text.into()))
    }

    fn language(&mut self, item: Item<'a>) -> Option<Language> {
        let text = self.text(item)?;
        let found = Language::parse(text);
        if found.is_none() {
            let names = Language::ALL.map(Language::as_str);
            let hint = near::hint(text, names)
                .unwrap_or_else(|| format!("write one of {}", quoted(&names)));
            let message = format!("scripts in `{}` are not run", shown(text));
            self.report(Code::ScriptLanguage, item.node.at, message, Some(hint));
        }
        found
    }

    fn stdin(&mut self, item: Item<'a>, around: &Around) -> Option<Template> {
        match item.node.kind {
            Kind::Str(_) => self.template(item, Position::Effect, around),
            _ => self.wrong_type(item, "a string"),
        }
    }

    fn arguments(&mut self, item: Item<'a>, around: &Around) -> Option<Template> {
        match &item.node.kind {
            Kind::Str(_) => match self.marked(item, Position::Arguments, around) {
                Some(expression) => expression.map(Template::Expr),
                None => self.wrong_type(item, "a list or an expression in `${ }`"),
            },
            Kind::Seq(items) => {
                for node in items.iter() {
                    if matches!(node.kind, Kind::Seq(_) | Kind::Map(_) | Kind::Null) {
                        let nothing: Option<()> = self.wrong_type(Item::of(node), "a single value");
                        debug_assert!(nothing.is_none());
                    }
                }
                self.template(item, Position::Arguments, around)
            }
            Kind::Map(_) => {
                let hint = "write a list, in the order in which the program gets them; names and values go into `environment`";
                self.report(
                    Code::ArgumentsByName,
                    item.at,
                    "the arguments are an object, and a program gets a list",
                    Some(hint.into()),
                );
                None
            }
            Kind::Null | Kind::Bool(_) | Kind::Int(_) | Kind::Number(_) => {
                self.wrong_type(item, "a list")
            }
        }
    }

    fn environment(&mut self, item: Item<'a>, around: &Around) -> Option<Template> {
        if let Kind::Map(entries) = &item.node.kind {
            for entry in entries.iter() {
                let why = if entry.key.is_empty() || entry.key.contains(['=', '\0']) {
                    "a name is not empty and has no `=` in it".to_owned()
                } else if entry.key.starts_with(RESERVED_PREFIX) {
                    format!("names that begin with `{RESERVED_PREFIX}` are the site's own")
                } else {
                    continue;
                };
                let message =
                    format!("`{}` cannot be the name of a variable here", shown(&entry.key));
                self.report(Code::EnvironmentName, entry.key_at, message, Some(why));
            }
        }
        self.pairs(item, "environment", Position::Effect, around)
    }
}

/// What is there must have been read.
fn flat<T>(read: Option<Option<T>>) -> Option<Option<T>> {
    match read {
        None => Some(None),
        Some(Some(read)) => Some(Some(read)),
        Some(None) => None,
    }
}

/// Whether a `${` stands there that no shell would take: a shell has a name behind it.
fn has_expression_within(text: &str) -> bool {
    text.match_indices("${").any(|(at, _)| {
        text[at + 2..].starts_with(|next: char| next.is_whitespace() || ".$[{(\"".contains(next))
    })
}
