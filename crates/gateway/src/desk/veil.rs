//! What a model gets to see of a request: decided before anything is held or sent.

use std::borrow::Cow;
use std::sync::{Arc, LazyLock};

use base::Namespace;
use bytes::Bytes;
use models::{Ask, Hidden, Operation, Protection};
use privacy::{Exempt, Names, Shield, Vault};

use super::routed::Candidate;
use super::{Desk, Question};

/// Places of requests that hold words of the interface, not of people.
pub(crate) static WORDS: LazyLock<Exempt> = LazyLock::new(|| {
    Exempt::new(&[
        "model",
        "messages.*.role",
        "messages.*.tool_call_id",
        "messages.*.tool_calls.*.id",
        "messages.*.tool_calls.*.type",
        "messages.*.tool_calls.*.function.name",
        "messages.*.content.*.type",
        "messages.*.content.*.id",
        "messages.*.content.*.tool_use_id",
        "messages.*.content.*.name",
        "messages.*.content.*.signature",
        "messages.*.content.*.cache_control",
        "messages.*.content.*.image_url.detail",
        "tools.*.type",
        "tools.*.name",
        "tools.*.function.name",
        "tools.*.cache_control",
        "tools.*.max_uses",
        "tool_choice",
        "response_format.type",
        "response_format.json_schema.name",
        "stream",
        "stream_options",
        "max_tokens",
        "max_completion_tokens",
        "max_output_tokens",
        "temperature",
        "top_p",
        "seed",
        "n",
        "thinking",
        "reasoning",
        "reasoning_effort",
        "verbosity",
        "max_tool_calls",
        "output_config.effort",
        "service_tier",
        "encoding_format",
        "dimensions",
        "include",
        "truncation",
        "previous_response_id",
        "text.format.type",
        "text.format.name",
        "text.verbosity",
        "tools.*.search_context_size",
        "web_search_options.search_context_size",
        "input.*.type",
        "input.*.role",
        "input.*.id",
        "input.*.call_id",
        "input.*.name",
        "input.*.status",
        "input.*.encrypted_content",
        "input.*.content.*.type",
        "input.*.content.*.detail",
        "inputs.*.name",
        "inputs.*.datatype",
        "inputs.*.shape",
        "outputs.*.name",
    ])
    .expect("as many paths as there may be")
});

/// What is done with texts that go to a model, and with those that come from it.
#[derive(Debug)]
pub(super) struct Veil {
    out: Option<Shield>,
    back: Option<Shield>,
    blocks_media: bool,
}

impl Veil {
    /// None where there is nothing to do.
    pub(super) fn new(protection: Protection, names: Option<Arc<Names>>) -> Option<Self> {
        if protection.is_idle() {
            return None;
        }
        let Protection { out, back, blocks_media, .. } = protection;
        let shield = |rules: privacy::Rules, names: Option<Arc<Names>>| {
            (!rules.is_idle()).then(|| Shield::new(rules, names))
        };
        let (out, back) = (shield(out, names.clone()), shield(back, names));
        Some(Self { out, back, blocks_media })
    }

    pub(super) fn is_same(&self, other: &Self) -> bool {
        are_same(self.back.as_ref(), other.back.as_ref()) && self.hides_the_same(other)
    }

    fn hides_the_same(&self, other: &Self) -> bool {
        are_same(self.out.as_ref(), other.out.as_ref()) && self.blocks_media == other.blocks_media
    }

    pub(super) const fn back(&self) -> Option<&Shield> {
        self.back.as_ref()
    }
}

fn are_same(one: Option<&Shield>, other: Option<&Shield>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => one.is_same(other),
        (one, other) => one.is_none() && other.is_none(),
    }
}

/// A request as one model may see it.
#[derive(Debug, Clone)]
pub(super) enum Seen {
    /// As it is.
    Plain,
    Veiled(Box<Veiled>),
    /// Not at all, and why.
    Nothing(String),
}

#[derive(Debug, Clone)]
pub(super) struct Veiled {
    pub body: Bytes,
    pub ask: Ask,
    pub hidden: Hidden,
}

impl Seen {
    pub(super) fn body<'a>(&'a self, question: &'a Question) -> &'a Bytes {
        match self {
            Self::Veiled(it) => &it.body,
            Self::Plain | Self::Nothing(_) => &question.body,
        }
    }

    pub(super) fn ask<'a>(&'a self, ask: &'a Ask) -> &'a Ask {
        match self {
            Self::Veiled(it) => &it.ask,
            Self::Plain | Self::Nothing(_) => ask,
        }
    }

    pub(super) fn hidden(&self) -> Option<Hidden> {
        match self {
            Self::Veiled(it) => Some(it.hidden.clone()),
            Self::Plain | Self::Nothing(_) => None,
        }
    }
}

/// What each of the models may see, and what stands for what in it.
pub(super) fn seen(
    desk: &Desk,
    models: &[Candidate],
    question: &Question,
    ask: &Ask,
) -> (Vec<Seen>, Option<Arc<Vault>>) {
    if models.iter().all(|it| matches!(it.shelved.veil, Ok(None))) {
        return (vec![Seen::Plain; models.len()], None);
    }
    let mut vault = Vault::new(key(desk, &question.who.by.namespace).as_bytes());
    let mut all: Vec<Seen> = Vec::with_capacity(models.len());
    for (at, model) in models.iter().enumerate() {
        let veil = match &model.shelved.veil {
            Ok(None) => {
                all.push(Seen::Plain);
                continue;
            }
            Ok(Some(veil)) => veil,
            Err(why) => {
                all.push(Seen::Nothing(why.clone()));
                continue;
            }
        };
        let is_same = |it: &Candidate| match &it.shelved.veil {
            Ok(Some(other)) => veil.hides_the_same(other),
            _ => false,
        };
        let before = models[..at].iter().position(is_same);
        all.push(match before {
            Some(before) => all[before].clone(),
            None => one(veil, &mut vault, question, ask),
        });
    }
    (all, Some(Arc::new(vault)))
}

/// Of a namespace, a value has one stand-in: a conversation goes on with those that it began with, so that what a
/// model has signed comes back to it as it was, a provider's cache knows a prompt again, a provider's own memory
/// takes nobody for another one, and a text has one vector.
fn key(desk: &Desk, namespace: &Namespace) -> base::Digest {
    base::Digest::of(&[&desk.0.digest_key, namespace.as_str().as_bytes()].concat())
}

fn one(veil: &Veil, vault: &mut Vault, question: &Question, ask: &Ask) -> Seen {
    if veil.blocks_media && (ask.images > 0 || ask.has_more_elsewhere) {
        let why = "it holds or names an image, a recording or a file, which nobody looks through";
        return Seen::Nothing(why.to_owned());
    }
    let Some(shield) = &veil.out else { return Seen::Plain };
    if ask.is_in_tokens {
        let why = "what it asks is given as numbers of tokens, which nobody looks through: send the text itself (with LangChain's `OpenAIEmbeddings`, `check_embedding_ctx_length=False`)";
        return Seen::Nothing(why.to_owned());
    }
    let before = vault.hidden().clone();
    let body = match shield.protect_json(vault, &question.body, &WORDS) {
        Ok(Cow::Borrowed(_)) => question.body.clone(),
        Ok(Cow::Owned(text)) => Bytes::from(text),
        Err(refusal) => return Seen::Nothing(refusal.to_string()),
    };
    let read = match question.operation {
        Operation::Infer => Ask::tensors(ask.model.clone(), &body),
        operation => Ask::read(operation, &body),
    };
    match read {
        Ok(ask) => Seen::Veiled(Box::new(Veiled { body, ask, hidden: more(vault, &before) })),
        Err(wrong) => Seen::Nothing(wrong.to_string()),
    }
}

/// An error of the model's server, which may say again what it was sent.
pub(super) fn named_again(vault: Option<&Vault>, body: Bytes) -> Bytes {
    let Some(vault) = vault.filter(|it| !it.is_empty()) else { return body };
    match vault.restore_json(&body, &super::restore::DATA) {
        Ok(Cow::Owned(text)) => Bytes::from(text),
        Ok(Cow::Borrowed(_)) | Err(_) => body,
    }
}

/// What was hidden since.
fn more(vault: &Vault, before: &privacy::Hidden) -> Hidden {
    let since = |(class, count): (&privacy::Class, &u64)| {
        let count = count - before.get(class).copied().unwrap_or(0);
        (count > 0).then(|| (class.name().to_owned(), count))
    };
    vault.hidden().iter().filter_map(since).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mutation: take a word of the interface for somebody's name.
    #[test]
    fn words_of_the_interface_are_nobodys_names() {
        let names = Names::new(["Max", "Low", "High"]).expect("names");
        let shield = Shield::new(privacy::Rules::standard(), Some(Arc::new(names)));
        let spoken = serde_json::json!({
            "model": "m", "reasoning_effort": "low", "verbosity": "High", "max_tool_calls": 3,
            "output_config": {"effort": "max"}, "text": {"verbosity": "low"},
            "tools": [{"max_uses": 2, "search_context_size": "low"}],
            "input": [{"content": [{"type": "input_image", "detail": "high", "image_url": "https://example.com/x.png"}]}],
            "messages": [{"role": "user", "content": [
                {"type": "image_url", "image_url": {"url": "https://example.com/x.png", "detail": "low"}}]}],
        });
        let mut vault = Vault::new(b"7");
        let body = spoken.to_string();
        let seen = shield.protect_json(&mut vault, body.as_bytes(), &WORDS).expect("protected");
        assert_eq!(seen, body);
        let named = br#"{"messages":[{"role":"user","content":"Max is low"}]}"#;
        let seen = shield.protect_json(&mut vault, named, &WORDS).expect("protected");
        assert!(!seen.contains("Max"), "the names are looked for");
    }
}
