//! What is written down of a call: that it was admitted, how it was settled (ADR 18), and what was known later of
//! what it has cost. One line of JSON each; `docs/spec/call.md` has the form.

use std::collections::BTreeMap;
use std::sync::Arc;

use base::name::WorkflowKey;
use base::{CallId, KeyName, Namespace, RunId, Timestamp, TraceParent};
use pricing::{Amount, Class, Money, Price, PriceName, Service, Usage};
use serde::{Deserialize, Serialize};

use crate::budget::Line;
use crate::correction::Corrected;
use crate::name::ModelName;
use crate::operation::Operation;
use crate::person::OfPerson;
use crate::watch::{Needs, Watched};

/// Of the lines that this binary writes.
pub const ENTRY_VERSION: u32 = 1;

/// Few are longer, so that most are written without growing.
const LINE_BYTES_USUAL: usize = 1_024;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Entry {
    Admitted(Admitted),
    Settled(Settled),
    Corrected(Corrected),
}

/// Before the first byte leaves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Admitted {
    pub v: u32,
    pub call: CallId,
    pub at: Timestamp,
    #[serde(flatten)]
    pub who: By,
    pub operation: Operation,
    /// The name that was asked for: a model's or a route's.
    pub asked: ModelName,
    /// The models that it may go to, in order.
    pub plan: Vec<ModelName>,
    pub streamed: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub held: Vec<Line>,
    /// The most that it may cost, as it is priced; there where that is known, and something.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bound: Option<Money>,
    /// The effect of a run that asks again by this name after a crash, where the upstream bills it once: the
    /// repetition takes over what is held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effect: Option<String>,
    /// To which trace it belongs, and what in it has asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<TraceParent>,
    /// What it asked for that not every model has.
    #[serde(default, skip_serializing_if = "Needs::is_nothing")]
    pub needs: Needs,
    /// There where it was only seen on its way: nothing was decided of it (ADR 31).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watched: Option<Watched>,
}

/// Who has asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct By {
    pub namespace: Namespace,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<KeyName>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workflow: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunId>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Settled {
    pub v: u32,
    pub call: CallId,
    pub at: Timestamp,
    pub end: End,
    pub legs: Vec<Leg>,
    /// By model, what it has used and cost; a call may be paid twice.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bills: Vec<Bill>,
    /// What is charged to which budget.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub charged: Vec<Line>,
    /// Not from the model that was to be first.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub degraded: bool,
    pub micros: u64,
    /// Of them, those of this program itself.
    pub own_micros: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_micros: Option<u64>,
    /// The call that has asked the same again, and has taken over what this one held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeated_by: Option<CallId>,
    /// How often something of a class was hidden in the answer.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub hidden: Hidden,
    /// The call whose answer was given again: no model was asked, or none has answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cached_from: Option<CallId>,
    /// What was given where no model had a good answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resort: Option<Given>,
    /// The person who was asked where no model had a good answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub person: Option<OfPerson>,
}

impl Settled {
    /// The leg whose answer was given; none where it was no model's.
    #[must_use]
    pub fn answering(&self) -> Option<&Leg> {
        let why = match self.resort {
            Some(Given::Cached | Given::Rule | Given::Person) => return None,
            Some(Given::Unsure) => Some(Missed::Unsure),
            None => None,
        };
        self.legs.iter().rev().find(|leg| leg.why == why)
    }
}

/// What was given in place of a good answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Given {
    /// The answer of a model that was not sure enough, by its route.
    Unsure,
    /// An answer to the same question from before.
    Cached,
    /// A text of the route's own.
    Rule,
    /// What a person has answered.
    Person,
}

impl Given {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unsure => "unsure",
            Self::Cached => "cached",
            Self::Rule => "rule",
            Self::Person => "person",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum End {
    Answered,
    /// The upstream has said that the request is wrong.
    Refused,
    Failed,
    /// The model's answer holds what it must not, by the rules.
    Withheld,
    /// The client has gone before the end.
    Left,
    /// The program ended before the call did.
    Unknown,
}

/// The longest cause that is written down: a refused certificate takes a line.
pub const CAUSE_CHARS_MAX: usize = 200;

/// One try.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Leg {
    pub model: ModelName,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Why it gave no answer, in our own words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<Missed>,
    /// Why there was no connection, in the words of the system; at most [`CAUSE_CHARS_MAX`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    pub micros: u64,
    /// How often something of a class was hidden from it; nothing where nobody looked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hidden: Option<Hidden>,
}

/// By class, how often.
pub type Hidden = BTreeMap<String, u64>;

/// Why a leg gave no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Missed {
    /// Its lane is shut: nothing was sent.
    Outage,
    RateLimit,
    Credentials,
    Payment,
    /// Too many calls are under way.
    Busy,
    /// No rule of the site lets it out.
    Denied,
    Unreachable,
    Silent,
    Broken,
    TooLarge,
    Status,
    /// It knows no such model, or has no such door.
    NotFound,
    /// It points elsewhere, where nobody follows.
    Redirected,
    Budget,
    /// Models at work hold the memory that models may have.
    Memory,
    /// The request holds what this model must not see.
    Protected,
    /// It cannot be asked this in its own words.
    Dialect,
    /// Its answer is not good enough, by its route.
    Unsure,
    /// Nobody could say whether its answer is good enough: nothing was sent.
    Unjudged,
    /// Too many calls of its route are tried again: nothing was sent.
    Retries,
    /// Another model that was asked beside it was faster.
    Slower,
    /// The route names it, and there is none of this name.
    Absent,
    /// The client had left before it: nothing was sent.
    Left,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Bill {
    pub model: ModelName,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Used>,
    /// None where nobody has a price, and where there is nothing to pay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<Money>,
    /// Nothing, and that is known: the model is free.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_free: bool,
    /// Not what was used, but the most that it may have been.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_bound: bool,
    /// What the cost is made of; nothing where it is a bound.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lines: Vec<Charge>,
    /// Which price that was by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<Arc<PriceName>>,
}

/// One class of what was used, and its part of the cost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Charge {
    pub class: Class,
    /// The sheet of the price.
    #[serde(default, skip_serializing_if = "is_standard")]
    pub service: Service,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub above: u64,
    pub count: u64,
    pub cost: Money,
}

/// Counts for sums and lists; how they were priced is in the price.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Used {
    pub input: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub cached: u64,
    pub output: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub reasoning: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub images: u64,
    /// Time of a device.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub millis: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
const fn is_zero(count: &u64) -> bool {
    *count == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
const fn is_standard(service: &Service) -> bool {
    matches!(service, Service::Standard)
}

impl Bill {
    /// For what was used, or for `bound` where nobody knows what that was or what it costs.
    #[must_use]
    pub fn of(
        model: ModelName,
        usage: Option<&Usage>,
        price: Option<&Price>,
        bound: Option<Money>,
    ) -> Self {
        let billed = usage.zip(price);
        let billed = billed.and_then(|(usage, price)| Some((price.bill(usage).ok()?, price)));
        let usage = usage.map(Used::of);
        let Some((lines, price)) = billed else {
            let (lines, price, is_free) = (Vec::new(), None, false);
            let is_bound = bound.is_some();
            return Self { model, usage, cost: bound, is_free, is_bound, lines, price };
        };
        let currency = price.offer.currency;
        let charge = |line: &pricing::Line| Charge {
            class: line.class,
            service: line.service,
            above: line.above,
            count: line.count,
            cost: line.amount.of(currency),
        };
        let pico = lines.iter().map(|line| line.amount.pico()).sum();
        Self {
            model,
            usage,
            cost: Some(Amount::from_pico(pico).of(currency)),
            is_free: false,
            is_bound: false,
            lines: lines.iter().map(charge).collect(),
            price: Some(Arc::clone(price.name())),
        }
    }
}

impl Used {
    fn of(usage: &Usage) -> Self {
        Self {
            input: usage.input_tokens(),
            cached: usage.count(Class::CacheRead),
            output: usage.output_tokens(),
            reasoning: usage.count(Class::Reasoning),
            images: usage.count(Class::Image),
            millis: usage.count(Class::Millisecond),
        }
    }
}

impl By {
    /// Of a run.
    #[must_use]
    pub fn run(workflow: &WorkflowKey, run: RunId) -> Self {
        let (namespace, workflow) = (workflow.namespace.clone(), Some(workflow.name.to_string()));
        Self { namespace, key: None, workflow, run: Some(run) }
    }
}

impl Settled {
    /// Of a call whose end nobody knows: all that it held is charged, and its bound billed for the model that it was
    /// to go to first.
    #[must_use]
    pub fn unknown(admitted: &Admitted, at: Timestamp) -> Self {
        // Entries of older binaries have no bound.
        let bound = admitted.bound.or(admitted.held.first().map(|line| line.amount));
        let bill = |model: &ModelName| Bill::of(model.clone(), None, None, bound);
        let bills = admitted.plan.first().filter(|_| bound.is_some()).map(bill);
        Self {
            v: ENTRY_VERSION,
            call: admitted.call,
            at,
            end: End::Unknown,
            legs: Vec::new(),
            bills: bills.into_iter().collect(),
            charged: admitted.held.clone(),
            degraded: false,
            micros: 0,
            own_micros: 0,
            first_micros: None,
            repeated_by: None,
            hidden: Hidden::new(),
            cached_from: None,
            resort: None,
            person: None,
        }
    }
}

impl Entry {
    /// One line, with its end.
    ///
    /// # Panics
    /// Never: our own types have JSON text.
    #[must_use]
    pub fn line(&self) -> Vec<u8> {
        self.line_behind(0)
    }

    /// The same, with room before it for what its keeper puts there.
    ///
    /// # Panics
    /// Never: our own types have JSON text.
    #[must_use]
    pub fn line_behind(&self, room: usize) -> Vec<u8> {
        let mut line = Vec::with_capacity(LINE_BYTES_USUAL);
        line.resize(room, b' ');
        serde_json::to_writer(&mut line, self).expect("our own types have JSON text");
        line.push(b'\n');
        line
    }

    /// The entries of a page, in order. Those of a newer binary's kind are none of ours to read.
    pub fn read(page: &[u8]) -> impl Iterator<Item = Result<Self, serde_json::Error>> {
        let lines = page.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        lines.map(serde_json::from_slice)
    }

    #[must_use]
    pub const fn call(&self) -> CallId {
        match self {
            Self::Admitted(entry) => entry.call,
            Self::Settled(entry) => entry.call,
            Self::Corrected(entry) => entry.call,
        }
    }
}
