//! `use.secrets`, and who may read them: only the definitions of effects and authentication, since
//! everything else is evaluated by the engine and written down.

use std::collections::BTreeMap;

use base::SecretName;
use expr::Expr;

use crate::code::Code;
use crate::diagnostic::Location;
use crate::near;
use crate::node::Kind;
use crate::problems::shown;

use super::Reader;
use super::expression::Position;
use super::fields::{Item, quoted};

/// Secrets of one workflow. Each is looked up whenever a run starts.
const SECRETS_MAX: usize = 100;

/// What `use.secrets` names.
#[derive(Debug, Default)]
pub(super) struct Secrets<'a> {
    declared: BTreeMap<&'a str, Declared>,
}

#[derive(Debug)]
struct Declared {
    at: Location,
    name: SecretName,
    used: bool,
}

impl<'a> Reader<'a> {
    pub(super) fn secrets(&mut self, item: Option<Item<'a>>) {
        let Some(item) = item else { return };
        let Kind::Seq(names) = &item.node.kind else {
            let _: Option<()> = self.wrong_type(item, "a list of names");
            return;
        };
        if names.len() > SECRETS_MAX {
            let message = format!("more than {SECRETS_MAX} secrets");
            self.report(
                Code::SecretName,
                item.at,
                message,
                Some(
                    "put what belongs together into one secret: its value may be an object".into(),
                ),
            );
            return;
        }
        for node in names.iter() {
            let Some(text) = self.text(Item::of(node)) else { continue };
            match SecretName::parse(text) {
                Ok(name) => {
                    let declared = Declared { at: node.at, name, used: false };
                    if self.secrets.declared.insert(text, declared).is_some() {
                        let message = format!("the secret `{text}` is named twice");
                        self.report(Code::SecretName, node.at, message, None);
                    }
                }
                Err(why) => self.report(Code::SecretName, node.at, why.to_string(), None),
            }
        }
    }

    /// All that are named, in the order of their names.
    pub(super) fn secret_names(&self) -> Vec<SecretName> {
        self.secrets.declared.values().map(|declared| declared.name.clone()).collect()
    }

    /// A secret that is read at `at`.
    pub(super) fn secret(&mut self, name: &str, at: Location) -> Option<SecretName> {
        if let Some(declared) = self.secrets.declared.get_mut(name) {
            declared.used = true;
            return Some(declared.name.clone());
        }
        let hint = near::hint(name, self.secrets.declared.keys().copied())
            .unwrap_or_else(|| "add its name to the list `use.secrets`".into());
        let message = format!("`use.secrets` does not name `{}`", shown(name));
        self.report(Code::UnknownSecret, at, message, Some(hint));
        None
    }

    /// The secrets that an expression reads, where it may read them.
    pub(super) fn secrets_read(&mut self, expression: &Expr, at: Location) {
        if !expression.variables().iter().any(|name| &**name == "secrets") {
            return;
        }
        match expression.fields_of("secrets") {
            Some(names) => {
                for name in names {
                    self.secret(name, at);
                }
            }
            // It may read any of them.
            None => self.secrets.declared.values_mut().for_each(|declared| declared.used = true),
        }
    }

    /// `$secrets` or `$authorization` where it does not exist.
    pub(super) fn report_sealed(&mut self, name: &str, position: Position, at: Location) {
        if name == "secrets" && position == Position::Arguments {
            let hint = "pass it by `environment` or `stdin`, which only the process can read";
            self.report(
                Code::SecretNotHere,
                at,
                "`$secrets` does not exist in `arguments`: everybody on the machine can see the arguments of a process",
                Some(hint.into()),
            );
            return;
        }
        if name == "secrets" && position == Position::Sent {
            let hint = "leave it out: a secret that other sites need is set at each of them, and read there";
            self.report(
                Code::SecretNotHere,
                at,
                "`$secrets` does not exist in what is for other sites: a secret does not leave its site",
                Some(hint.into()),
            );
            return;
        }
        if name == "secrets" {
            let hint = "read it where the effect is defined: in the `with` of a call, in its endpoint's `authentication`, or in the `environment`, `stdin` or code of a process";
            self.report(
                Code::SecretNotHere,
                at,
                "`$secrets` exists only in the definitions of effects and in authentication, so that no secret is ever written down",
                Some(hint.into()),
            );
            return;
        }
        let (message, hint) = match position {
            Position::Effect => (
                "`$authorization` exists only where the call's endpoint has an `authentication` other than `digest`",
                "add `authentication` to the endpoint, or leave `$authorization` out",
            ),
            _ => (
                "`$authorization` exists only in the definition of the call that it authorizes, so that it is never written down",
                "read it in the `with` of the call",
            ),
        };
        self.report(Code::AuthorizationNotHere, at, message, Some(hint.into()));
    }

    pub(super) fn report_unused_secrets(&mut self) {
        let unused: Vec<(Location, String)> = self
            .secrets
            .declared
            .values()
            .filter(|declared| !declared.used)
            .map(|declared| (declared.at, quoted(&[declared.name.as_str()])))
            .collect();
        for (at, name) in unused {
            let message = format!("nothing reads the secret {name} of `use.secrets`");
            self.report(Code::Unused, at, message, Some("use it or remove it".into()));
        }
    }
}
