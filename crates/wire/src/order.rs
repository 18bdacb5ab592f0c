//! Orders of a hub to one site, and what became of them. In prose: `docs/spec/link.md`.

use base::value::Json;
use base::{By, Namespace, OrderId, RunId, SiteName, Timestamp, document};
use serde::{Deserialize, Serialize};

use crate::RunStart;
use crate::dispatch::{Dispatched, News, Sites};
use crate::lease::SignedLease;

const ORDER_TYPE: &str = "isonomy.order";
const ORDER_VERSION: u32 = 1;

const RECEIPT_TYPE: &str = "isonomy.receipt";
const RECEIPT_VERSION: u32 = 1;

/// The longest code of a refusal.
const CODE_BYTES_MAX: usize = 64;

/// What a site is told to do, once.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Order {
    /// It is to be judged by then, by the hub's time.
    pub until: Timestamp,
    pub by: By,
    pub act: Act,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Act {
    /// Starts a run of a workflow that the site has.
    Run { namespace: Namespace, run: RunId, start: Box<RunStart<Json>> },
    /// Starts a run for another site, with an input that only this one can read.
    Dispatched(Box<Dispatched>),
    /// Which sites are meant by a dispatch of this site.
    Sites(Box<Sites>),
    /// What another site has answered to this one.
    News(Box<News>),
    /// What this site may spend of a fleet's budget.
    Lease(Box<SignedLease>),
}

impl Act {
    /// Whose work it is; nobody's where it is word between hub and site alone.
    #[must_use]
    pub fn namespace(&self) -> Option<&Namespace> {
        match self {
            Self::Run { namespace, .. } => Some(namespace),
            Self::Dispatched(it) => Some(&it.namespace),
            Self::Sites(_) | Self::News(_) | Self::Lease(_) => None,
        }
    }

    /// The workflow that this site runs by it.
    #[must_use]
    pub fn workflow(&self) -> Option<&str> {
        match self {
            Self::Run { start, .. } => Some(&start.workflow),
            Self::Dispatched(it) => Some(it.workflow.as_str()),
            Self::Sites(_) | Self::News(_) | Self::Lease(_) => None,
        }
    }

    /// The run that this site starts by it.
    #[must_use]
    pub fn run(&self, site: &SiteName) -> Option<RunId> {
        match self {
            Self::Run { run, .. } => Some(*run),
            Self::Dispatched(it) => Some(it.bond(site).run()),
            Self::Sites(_) | Self::News(_) | Self::Lease(_) => None,
        }
    }
}

/// Why an order cannot be read. Never with its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an order that this version reads")]
pub struct OrderUnreadable;

impl Order {
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        document::write(ORDER_TYPE, ORDER_VERSION, self)
    }

    /// One that says more than this version knows how to do is not read: half of it is not what was meant.
    pub fn decode(bytes: &[u8]) -> Result<Self, OrderUnreadable> {
        /// Read as it is: by way of JSON's own numbers, large ones in the input would change.
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Doc {
            #[serde(rename = "type")]
            kind: String,
            v: u32,
            until: Timestamp,
            by: By,
            act: Act,
        }
        let Doc { kind, v, until, by, act } =
            serde_json::from_slice(bytes).map_err(|_| OrderUnreadable)?;
        let is_read = kind == ORDER_TYPE && v == ORDER_VERSION;
        is_read.then_some(Self { until, by, act }).ok_or(OrderUnreadable)
    }
}

/// What became of an order: a closed struct, like an outcome.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    pub order: OrderId,
    pub state: ReceiptState,
    /// Why it was refused: lower-case words and hyphens, never free text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    pub at: Timestamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReceiptState {
    Taken,
    Refused,
    Expired,
}

/// Why a receipt cannot be read. Never with its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a receipt that this version reads")]
pub struct ReceiptUnreadable;

impl Receipt {
    #[must_use]
    pub fn new(
        order: OrderId,
        state: ReceiptState,
        code: Option<&'static str>,
        at: Timestamp,
    ) -> Self {
        Self { order, state, code: code.map(str::to_owned), at }
    }

    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        document::write(RECEIPT_TYPE, RECEIPT_VERSION, self)
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, ReceiptUnreadable> {
        let receipt = document::read_closed::<Self>(bytes, RECEIPT_TYPE, RECEIPT_VERSION);
        let receipt = receipt.map_err(|_| ReceiptUnreadable)?;
        let is_read = receipt.code.as_deref().is_none_or(is_code);
        if is_read { Ok(receipt) } else { Err(ReceiptUnreadable) }
    }
}

/// Whether it says something in a word or a few, and is not free text.
pub(crate) fn is_code(code: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_lowercase() || byte == b'-';
    code.len() <= CODE_BYTES_MAX && code.bytes().all(is_part)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mutation: do the half of an order that is understood.
    #[test]
    fn an_order_is_understood_as_a_whole_or_not_at_all() {
        let run = RunId::from_uuid(uuid::Uuid::from_u128(9));
        let namespace = Namespace::parse("default").expect("a name");
        let by = By { actor: "ada".to_owned(), reason: None };
        let start = RunStart {
            workflow: "screen".to_owned(),
            revision: None,
            run: None,
            input: Json::default(),
            tags: vec![],
            labels: vec![],
            priority: 0,
            reason: None,
        };
        let order = Order {
            until: Timestamp::from_millis(1_800_000_000_000),
            by,
            act: Act::Run { namespace, run, start: Box::new(start) },
        };
        let text = String::from_utf8(order.encode()).expect("text");
        assert_eq!(Order::decode(text.as_bytes()), Ok(order));
        for wrong in [
            text.replace(r#"{"run":{"#, r#"{"explode":{"#),
            text.replace(r#""workflow""#, r#""later":1,"workflow""#),
            text.replacen('{', r#"{"later":1,"#, 1),
            text.replace(r#""v":1"#, r#""v":2"#),
        ] {
            assert_ne!(wrong, text);
            assert_eq!(Order::decode(wrong.as_bytes()), Err(OrderUnreadable), "{wrong}");
        }
    }

    /// Mutation: take a field that is not on the list, another document, or a code that is free text.
    #[test]
    fn a_receipt_is_a_closed_struct() {
        let order = OrderId::from_uuid(uuid::Uuid::from_u128(7));
        let at = Timestamp::from_millis(1_800_000_000_000);
        let refused = Receipt::new(order, ReceiptState::Refused, Some("workflow-refused"), at);
        let text = String::from_utf8(refused.encode()).expect("text");
        assert_eq!(Receipt::decode(text.as_bytes()), Ok(refused));
        let wrong = [
            text.replacen('{', r#"{"later":1,"#, 1),
            text.replace("isonomy.receipt", "isonomy.outcome"),
            text.replace(r#""v":1"#, r#""v":2"#),
            text.replace("workflow-refused", "Ada Lovelace"),
            text.replace("workflow-refused", &"a".repeat(CODE_BYTES_MAX + 1)),
        ];
        for wrong in wrong {
            assert_ne!(wrong, text);
            assert_eq!(Receipt::decode(wrong.as_bytes()), Err(ReceiptUnreadable), "{wrong}");
        }
    }
}
