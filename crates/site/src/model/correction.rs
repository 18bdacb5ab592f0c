//! What a call has cost that was booked at its bound: somebody says so, once.

use base::{By, CallId, Namespace, document};
use gateway::desk::Record as _;
use models::{Corrected, CorrectionError, Entry, Exchange, Known};
use pricing::Money;
use serde::{Deserialize, Serialize};
use server::{Caller, change_op};
use store::{Op, ResourceKind, ResourceRow, Store};
use wire::{CallSettle, CallView, ProblemCode};

use super::Models;
use super::calls;
use crate::refusal::Refusal;

const CORRECTION_TYPE: &str = "isonomy.call-correction";
const CORRECTION_VERSION: u32 = 1;

/// Before the call, in the names of their rows.
pub(super) const ROWS: &str = "correction/";

#[derive(Serialize, Deserialize)]
struct Doc {
    corrected: Corrected,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ChangeDoc<'a> {
    change: &'static str,
    call: CallId,
    namespace: &'a Namespace,
    cost: Vec<String>,
    reason: &'a str,
}

/// What goes with its entry: the row by which it is found, and the line in the record of changes.
pub(super) fn ops(entry: &Corrected) -> [Op; 2] {
    let change = ChangeDoc {
        change: "call-settled",
        call: entry.call,
        namespace: &entry.who.namespace,
        cost: entry.bills.iter().map(|bill| bill.cost.exact()).collect(),
        reason: &entry.reason,
    };
    // An entry has a version of its own.
    let doc = Doc { corrected: entry.clone() };
    let by = By { actor: entry.by.clone(), reason: Some(entry.reason.clone()) };
    let row = ResourceRow {
        kind: ResourceKind::Calls,
        name: row_name(entry.call),
        record: document::write(CORRECTION_TYPE, CORRECTION_VERSION, &doc).into(),
    };
    [Op::ResourcePut(row), change_op(&change, &by, entry.at)]
}

/// Of a call that is no longer kept.
pub(super) fn forget_op(call: CallId) -> Op {
    Op::ResourceDelete { kind: ResourceKind::Calls, name: row_name(call) }
}

/// What was said of the call, if anything.
pub(super) async fn of_call(store: &dyn Store, call: CallId) -> Result<Option<Corrected>, Refusal> {
    let Some(row) = store.resource_get(ResourceKind::Calls, row_name(call)).await? else {
        return Ok(None);
    };
    let of_newer = || {
        let what = format!("what was said of the cost of `{call}` is of a newer version");
        Refusal::new(ProblemCode::CallKnown, what)
    };
    read(&row).map(Some).ok_or_else(of_newer)
}

/// None where it is of a newer binary.
pub(super) fn read(row: &ResourceRow) -> Option<Corrected> {
    let doc = document::read(&row.record, CORRECTION_TYPE, CORRECTION_VERSION).ok();
    doc.map(|Doc { corrected }| corrected)
}

fn row_name(call: CallId) -> String {
    format!("{ROWS}{call}")
}

impl Models {
    /// Replaces what the call was charged.
    pub(crate) async fn call_settle(
        &self,
        caller: &Caller,
        namespace: &Namespace,
        call: CallId,
        settle: CallSettle,
    ) -> Result<CallView, Refusal> {
        let cost = cost(&settle)?;
        let By { actor, reason } = caller.because(Some(settle.reason))?;
        let reason =
            reason.ok_or_else(|| Refusal::parameter("reason", "say how you know what it cost"))?;
        let store = self.0.store.as_ref();
        let _alone = self.0.changing.lock().await;
        let found = calls::find(store, namespace, call).await?;
        if let Some(before) = of_call(store, call).await? {
            let what = format!("{} has said already what it has cost", before.by);
            return Err(Refusal::new(ProblemCode::CallKnown, what));
        }
        let known = Known { cost, by: actor, reason, at: self.0.clock.now() };
        let corrected = corrected(&found, known, self.desk().exchange())?;
        let written = self.book().write(Entry::Corrected(corrected.clone()));
        let unwritten = || Refusal::new(ProblemCode::Overloaded, "it cannot be written down now");
        let ticket = written.map_err(|_| unwritten())?;
        self.desk().budgets(|books| books.correct(&corrected.charged));
        ticket.durable().await.map_err(|_| unwritten())?;
        Ok(calls::view(&found.admitted, found.settled.as_ref(), Some(&corrected)))
    }
}

fn cost(settle: &CallSettle) -> Result<Option<Money>, Refusal> {
    match (&settle.cost, settle.free) {
        (None, true) => Ok(None),
        (Some(cost), false) => {
            cost.parse().map(Some).map_err(|why| Refusal::parameter("cost", why))
        }
        (Some(_), true) | (None, false) => {
            Err(Refusal::parameter("cost", "say `cost`, or that it was `free`, and not both"))
        }
    }
}

fn corrected(
    found: &calls::Found,
    known: Known,
    exchange: &Exchange,
) -> Result<Corrected, Refusal> {
    let (admitted, settled) = (&found.admitted, found.settled.as_ref());
    Corrected::of(admitted, settled, known, exchange).map_err(|why| match why {
        CorrectionError::UnderWay | CorrectionError::Known => {
            Refusal::new(ProblemCode::CallKnown, why.to_string())
        }
        CorrectionError::Dearer { .. } | CorrectionError::Exchange(_) => {
            Refusal::parameter("cost", why)
        }
    })
}
