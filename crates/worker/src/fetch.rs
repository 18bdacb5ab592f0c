//! Fetching what a document refers to, through the gate, once: when the document is applied.
//!
//! Where the document says who asks, its secrets are opened here, in their newest versions, and
//! forgotten with the answer. What is fetched is written down with the revision, so it may not repeat
//! what it was asked with. Errors name the authentication, and never show what it holds.

use std::sync::Arc;
use std::time::Duration;

use base::limits::DOCUMENT_BYTES_MAX;
use base::value::object;
use base::{ErrorType, Fault, Namespace, SecretName, Value};
use engine::effect::Evaluate;
use engine::sealed::{Keys, Late, Reads};
use gateway::{Caller, OutError, OutRequest, OutResponse};
use http::StatusCode;
use spec::tree::{Access, Template};

use crate::authentication::{Asking, Session, Unauthenticated, send};
use crate::mask::Mask;
use crate::sealed::confidential;
use crate::worker::Worker;

/// Somebody waits for the answer of `apply`, and a document that needs longer is not there.
const DEADLINE: Duration = Duration::from_secs(20);

/// A text that a document refers to.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// Of the document.
    pub namespace: &'a Namespace,
    pub uri: &'a str,
    /// Who asks for it, where the document says so.
    pub access: Option<&'a Access>,
    /// All secrets that the document names.
    pub secrets: &'a [SecretName],
}

impl Worker {
    /// The text behind an address, or why it cannot be had.
    pub async fn fetch(&self, wanted: Wanted<'_>) -> Result<Arc<str>, String> {
        match tokio::time::timeout(DEADLINE, self.ask(wanted)).await {
            Ok(answer) => answer,
            Err(_) => Err(format!("no answer within {} seconds", DEADLINE.as_secs())),
        }
    }

    async fn ask(&self, wanted: Wanted<'_>) -> Result<Arc<str>, String> {
        let request = OutRequest::new("GET", wanted.uri, &[]).map_err(told)?.with_redirects(true);
        let Some(access) = wanted.access else {
            let answer = self.gate().request(caller(wanted.namespace), request).await;
            return text_of(answer.result.map_err(told)?);
        };
        let mut masks = Masks::default();
        let answered = self.ask_as(wanted, access, request, &mut masks).await;
        let text = answered.and_then(text_of).map_err(|why| masks.opened.text(&why))?;
        if masks.sent.text(&text) != *text {
            return Err(format!(
                "it repeats what is secret in {}, which must not be written down",
                said(access)
            ));
        }
        Ok(text)
    }

    async fn ask_as(
        &self,
        wanted: Wanted<'_>,
        access: &Access,
        request: OutRequest,
        masks: &mut Masks,
    ) -> Result<OutResponse, String> {
        let wrong = |fault: Fault| because(access, fault);
        let late = late(&access.authentication.properties);
        let secrets = self.opened(wanted, &late, &mut masks.opened).await.map_err(wrong)?;
        let keys = Keys { secrets, authorization: Value::Null };
        let properties = late.open(&keys, &*self.ports().evaluator).await.map_err(wrong)?;
        confidential(&properties, &mut masks.sent);
        confidential(&properties, &mut masks.opened);
        let asking = Asking {
            gate: self.gate(),
            caller: caller(wanted.namespace),
            tokens: self.tokens(),
            traceparent: "",
            clock: &*self.ports().clock,
            random: &*self.ports().random,
        };
        let scheme = access.authentication.scheme;
        let mut session =
            Session::new(asking, wanted.namespace, scheme, &properties).map_err(wrong)?;
        let first = session.first().await;
        session.said().for_each(|said| masks.add(said));
        let unsaid = |Unauthenticated { fault, .. }| wrong(fault);
        let sent = send(&mut session, first.map_err(unsaid)?.as_ref(), request).await;
        session.said().for_each(|said| masks.add(said));
        let response = sent.map_err(unsaid)?.result.map_err(told)?;
        if response.status == StatusCode::UNAUTHORIZED {
            return Err(format!("the server answered {} to {}", response.status, said(access)));
        }
        Ok(response)
    }

    /// An object of the secrets that are read, by name.
    async fn opened(
        &self,
        wanted: Wanted<'_>,
        late: &Late,
        mask: &mut Mask,
    ) -> Result<Value, Fault> {
        let reads = late.reads();
        let is_read = |name: &&SecretName| match &reads {
            Reads::All => true,
            Reads::These(names) => names.contains(name.as_str()),
        };
        let mut fields = Vec::new();
        for name in wanted.secrets.iter().filter(is_read) {
            let secret = (name.clone(), None);
            let value = self.ports().secrets.open(wanted.namespace, &secret).await;
            let value = value.map_err(|fault| missing(wanted.namespace, name, fault))?;
            mask.add(&value);
            fields.push((name.as_str(), value));
        }
        Ok(object(fields))
    }
}

/// What may not be repeated.
#[derive(Default)]
struct Masks {
    /// In an error: everything that was opened, names of users too.
    opened: Mask,
    /// In what is fetched: what is secret of that which was sent.
    sent: Mask,
}

impl Masks {
    fn add(&mut self, said: &str) {
        self.opened.add_text(said);
        self.sent.add_text(said);
    }
}

/// No run is there that anything could be read from.
fn late(template: &Template) -> Late {
    match template {
        Template::Constant(value) => Late::Value(value.clone()),
        Template::Expr(expr) => Late::Expr(Evaluate {
            text: expr.text().into(),
            input: Value::Null,
            variables: Vec::new(),
        }),
        Template::Array(items) => Late::Array(items.iter().map(late).collect()),
        Template::Object(fields) => {
            Late::Object(fields.iter().map(|(name, field)| (name.clone(), late(field))).collect())
        }
    }
}

const fn caller(namespace: &Namespace) -> Caller<'_> {
    Caller { namespace, run: None, activation: "", labels: &[] }
}

/// The provider speaks of a run, and here is none yet.
fn missing(namespace: &Namespace, name: &SecretName, fault: Fault) -> Fault {
    match fault.kind() {
        ErrorType::Authorization => Fault {
            detail: Some(format!(
                "namespace `{namespace}` has no secret `{name}`; set it with `isonomy secrets set {name} -n {namespace}`"
            )),
            ..fault
        },
        _ => fault,
    }
}

fn said(access: &Access) -> String {
    format!("the authentication `{}`", access.name)
}

fn because(access: &Access, fault: Fault) -> String {
    let detail = fault.detail.or(fault.title.map(|title| title.to_string())).unwrap_or_default();
    // A policy calls itself by its scheme.
    let scheme = format!("the authentication `{}`: ", access.authentication.scheme.name());
    format!("{}: {}", said(access), detail.strip_prefix(&scheme).unwrap_or(&detail))
}

fn told(error: OutError) -> String {
    format!("{}: {error}", error.code())
}

fn text_of(response: OutResponse) -> Result<Arc<str>, String> {
    if !response.status.is_success() {
        return Err(format!("the server answered {}", response.status));
    }
    if response.body.len() > DOCUMENT_BYTES_MAX {
        return Err(format!("it is larger than {DOCUMENT_BYTES_MAX} bytes"));
    }
    match std::str::from_utf8(&response.body) {
        Ok(text) => Ok(text.into()),
        Err(_) => Err("it is not text in UTF-8".to_owned()),
    }
}
