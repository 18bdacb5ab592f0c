//! One text of a stream, looked through and restored as it comes, wherever it is cut.
//!
//! Where it is JSON, that is the business of `json`.

use std::sync::Arc;

use privacy::{Form, Guard, Hidden, JSON_NESTED_MAX, Refusal, Restorer, Shield, Vault};

use super::json::Json;

/// What becomes of texts.
#[derive(Clone)]
pub(super) struct Rules {
    /// Whose stand-ins become values again.
    pub vault: Option<Arc<Vault>>,
    /// What is hidden.
    pub back: Option<Shield>,
}

/// Where a text of JSON lies.
#[derive(Debug, Clone, Default)]
pub(super) struct Within {
    /// The key that it is the value of.
    pub hint: String,
    /// Texts of JSON around it.
    pub nested: usize,
    /// Objects and arrays around it.
    pub depth: usize,
}

pub(super) struct Text {
    rules: Rules,
    form: Form,
    within: Within,
    state: State,
    hidden: Hidden,
}

enum State {
    /// Nothing has come but blanks.
    Begun,
    Plain(Plain),
    Json(Box<Json>),
}

impl Text {
    pub(super) const fn new(rules: Rules, form: Form, within: Within) -> Self {
        Self { rules, form, within, state: State::Begun, hidden: Hidden::new() }
    }

    /// One that is no JSON, whatever it says.
    pub(super) fn plain(rules: Rules) -> Self {
        let mut text = Self::new(rules, Form::Text, Within::default());
        text.state = State::Plain(Plain::new(&text.rules, text.form, &text.within));
        text
    }

    /// The next piece; gives what can be released.
    pub(super) fn push(&mut self, piece: &str) -> Result<String, Refusal> {
        match &mut self.state {
            State::Begun => {
                let Some(at) = piece.find(|sign| !is_blank(sign)) else {
                    return Ok(piece.to_owned());
                };
                self.state = self.begun(&piece[at..])?;
                let passed = self.push(&piece[at..])?;
                Ok(format!("{}{passed}", &piece[..at]))
            }
            State::Plain(plain) => plain.push(piece),
            State::Json(json) => {
                let mut passed = String::with_capacity(piece.len());
                let rest = json.push(piece, &mut passed)?;
                let Some(rest) = rest else { return Ok(passed) };
                add(&mut self.hidden, &json.hidden());
                let mut plain = Plain::new(&self.rules, self.form, &self.within);
                passed.push_str(&plain.push(&rest)?);
                self.state = State::Plain(plain);
                Ok(passed)
            }
        }
    }

    fn begun(&self, text: &str) -> Result<State, Refusal> {
        let is_json = match self.form {
            Form::Text => text.starts_with(['{', '[']),
            Form::Json => text.starts_with(['{', '[', '"']),
        };
        if !is_json {
            return Ok(State::Plain(Plain::new(&self.rules, self.form, &self.within)));
        }
        if self.within.nested > JSON_NESTED_MAX {
            return Err(Refusal::TooDeep { most: JSON_NESTED_MAX });
        }
        let Within { nested, depth, .. } = self.within;
        Ok(State::Json(Box::new(Json::new(self.rules.clone(), nested, depth))))
    }

    /// What is left when it has ended.
    pub(super) fn finish(&mut self) -> Result<String, Refusal> {
        match &mut self.state {
            State::Begun => Ok(String::new()),
            State::Plain(plain) => plain.finish(),
            State::Json(json) => json.finish(),
        }
    }

    pub(super) fn holds(&self) -> bool {
        match &self.state {
            State::Begun => false,
            State::Plain(plain) => plain.holds(),
            State::Json(json) => json.holds(),
        }
    }

    /// It is JSON, and more of it must come.
    pub(super) fn is_open(&self) -> bool {
        match &self.state {
            State::Begun | State::Plain(_) => false,
            State::Json(json) => json.is_open(),
        }
    }

    /// What was hidden so far.
    pub(super) fn hidden(&self) -> Hidden {
        let mut all = self.hidden.clone();
        match &self.state {
            State::Begun => {}
            State::Plain(plain) => {
                plain.guard.iter().for_each(|guard| add(&mut all, guard.hidden()));
            }
            State::Json(json) => add(&mut all, &json.hidden()),
        }
        all
    }
}

pub(super) fn add(all: &mut Hidden, more: &Hidden) {
    for (class, count) in more {
        *all.entry(*class).or_default() += count;
    }
}

pub(super) const fn is_blank(sign: char) -> bool {
    matches!(sign, ' ' | '\t' | '\r' | '\n')
}

struct Plain {
    guard: Option<Guard>,
    restorer: Option<Restorer>,
}

impl Plain {
    fn new(rules: &Rules, form: Form, within: &Within) -> Self {
        Self {
            guard: rules.back.clone().map(|shield| Guard::new(shield).under(&within.hint)),
            restorer: rules.vault.clone().map(|vault| Restorer::new(vault, form)),
        }
    }

    fn push(&mut self, piece: &str) -> Result<String, Refusal> {
        let seen = match &mut self.guard {
            Some(guard) => guard.push(piece)?,
            None => piece.to_owned(),
        };
        Ok(match &mut self.restorer {
            Some(restorer) => restorer.push(&seen),
            None => seen,
        })
    }

    fn finish(&mut self) -> Result<String, Refusal> {
        let mut rest = String::new();
        if let Some(guard) = &mut self.guard {
            let last = guard.finish()?;
            match &mut self.restorer {
                Some(restorer) => rest.push_str(&restorer.push(&last)),
                None => rest.push_str(&last),
            }
        }
        if let Some(restorer) = &mut self.restorer {
            rest.push_str(&restorer.finish());
        }
        Ok(rest)
    }

    fn holds(&self) -> bool {
        self.guard.as_ref().is_some_and(Guard::holds)
            || self.restorer.as_ref().is_some_and(Restorer::holds)
    }
}
