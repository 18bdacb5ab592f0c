//! Calls of runs: by what name an effect asks again after a crash, and what becomes of the call before.
//!
//! Whoever was killed in a call comes back and asks the same. Where the upstream bills a repetition under the
//! same name once, the repetition takes over what is held for the first; elsewhere the first was booked at its
//! bound already, since both may be billed (ADR 18).

use std::sync::{Arc, PoisonError};

use base::{CallId, Digest, RunId};
use http::HeaderValue;
use models::{Admitted, Books, Entry, Holder, Line, ModelName, Refused, Settled};
use pricing::{Budget, Period};

use super::routed::Found;
use super::{Desk, Question};

/// What a run says beside its question.
#[derive(Debug, Clone)]
pub struct OfRun {
    /// The same for each repetition of one effect.
    pub key: Arc<str>,
    /// Classes of the data that the run has read.
    pub labels: Arc<[String]>,
    /// What the run may spend in all, by its workflow's own word.
    pub cap: Option<Budget>,
}

impl OfRun {
    /// By what name its effect is written down. The key itself has names of tasks in it.
    #[must_use]
    pub fn effect(&self) -> String {
        Digest::of(self.key.as_bytes()).to_string()
    }

    /// What tells an upstream that a request comes again. Two models at one upstream are asked two things.
    pub(super) fn header(&self, model: &ModelName) -> HeaderValue {
        let digest = Digest::of(format!("{}\n{model}", self.key).as_bytes());
        let hex: String = digest.as_bytes().iter().take(16).map(|it| format!("{it:02x}")).collect();
        HeaderValue::from_str(&format!("isonomy-{hex}")).expect("hexadecimal digits fit")
    }
}

impl Found {
    /// Whether asking all of it again costs nothing more. Of several models nobody knows which was asked.
    pub(super) fn is_billed_once(&self) -> bool {
        let [one] = &self.models[..] else { return false };
        one.shelved.model.spec.source.upstream().is_some_and(|it| it.idempotent)
    }
}

impl Desk {
    /// Takes up calls that the life before has not ended: what they hold is held on, until their runs ask
    /// again or end.
    pub fn take_up(&self, left: Vec<Admitted>) {
        self.hold_on(&left);
        self.left_calls(|calls| calls.extend(left));
    }

    /// Runs that may ask again what was not answered.
    #[must_use]
    pub fn runs_left(&self) -> Vec<RunId> {
        self.left_calls(|calls| calls.iter().filter_map(|call| call.who.run).collect())
    }

    /// The run will not ask again: what it has left may have to be paid.
    pub fn run_ended(&self, run: RunId) {
        self.budgets(|books| books.remove(&Holder::Run(run), Period::Total));
        let over = |call: &mut Admitted| call.who.run == Some(run);
        for call in self.left_calls(|calls| calls.extract_if(.., over).collect::<Vec<_>>()) {
            self.charge_left(&call);
        }
    }

    /// What the effect has left behind and this call may take over: it asks the same of the same model. What
    /// it does not take over is charged.
    pub(super) fn takes_over(
        &self,
        question: &Question,
        plan: &[ModelName],
        is_billed_once: bool,
    ) -> Vec<Admitted> {
        let Some(of) = &question.of_run else { return Vec::new() };
        let (run, effect) = (question.who.by.run, of.effect());
        let is_its = |call: &Admitted| {
            call.who.run == run && call.effect.as_deref() == Some(effect.as_str())
        };
        let is_same = |call: &Admitted| is_billed_once && call.plan == plan;
        let (same, other) = self.left_calls(|calls| {
            let other = calls.extract_if(.., |call| is_its(call) && !is_same(call));
            let other: Vec<_> = other.collect();
            let same: Vec<_> = calls.iter().filter(|call| is_its(call)).cloned().collect();
            (same, other)
        });
        other.iter().for_each(|call| self.charge_left(call));
        same
    }

    /// What the run's workflow says of its budget counts as every other budget does.
    pub(super) fn brings(&self, question: &Question) {
        let cap = question.of_run.as_ref().and_then(|it| it.cap);
        if let Some((run, cap)) = question.who.by.run.zip(cap) {
            let holder = Holder::Run(run);
            let spent = || self.0.record.spent(&holder, cap);
            self.budgets(|books| books.bring(&holder, cap, spent));
        }
    }

    /// Holds back what a call may cost, with what was held for these given back in the same moment; or
    /// nothing has changed.
    pub(super) fn in_place_of(
        &self,
        left: &[Admitted],
        reserve: impl FnOnce(&mut Books) -> Result<Vec<Line>, Box<Refused>>,
    ) -> Result<Vec<Line>, Box<Refused>> {
        self.budgets(|books| {
            for call in left {
                books.release(call.call);
            }
            let held = reserve(books);
            if held.is_err() {
                hold(books, left);
            }
            held
        })
    }

    /// They hold what they held.
    pub(super) fn hold_on(&self, left: &[Admitted]) {
        self.budgets(|books| hold(books, left));
    }

    /// Nobody knows its end, and nobody asks again: it is charged at its bound.
    fn charge_left(&self, call: &Admitted) {
        let (_, alarms) = self.budgets(|books| books.settle_held(call.call, &self.0.exchange));
        self.alarm(&call.who.namespace, &alarms);
        self.write_left(Settled::unknown(call, self.now()));
    }

    /// Another call has taken over what it held.
    pub(super) fn repeated(&self, call: &Admitted, by: CallId) {
        self.left_calls(|calls| calls.retain(|it| it.call != call.call));
        let settled = Settled::unknown(call, self.now());
        let (bills, charged) = (Vec::new(), Vec::new());
        self.write_left(Settled { bills, charged, repeated_by: Some(by), ..settled });
    }

    fn write_left(&self, settled: Settled) {
        let call = settled.call;
        if self.0.record.write(Entry::Settled(settled)).is_err() {
            // It is still open in the record, and the next start takes it up again.
            tracing::error!(%call, "cannot write down how a call ended");
        }
    }

    fn left_calls<T>(&self, change: impl FnOnce(&mut Vec<Admitted>) -> T) -> T {
        change(&mut self.0.left_calls.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn hold(books: &mut Books, calls: &[Admitted]) {
    for call in calls {
        books.hold(call.call, call.held.clone());
    }
}
