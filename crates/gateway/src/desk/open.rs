//! A call under way: what it holds, what it has tried, and that it is settled once, however it ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use base::{CallId, Timestamp};
use models::{
    Admitted, Bill, By, CAUSE_CHARS_MAX, CallRefusal, ENTRY_VERSION, End, Entry, Given, Hidden,
    Leg, Line, Missed, Missing, ModelName, Needs, OfPerson, Refused, Settled, Used, Worst,
};
use pricing::{Amount, Money, Price, Usage};

use tokio::sync::watch;
use tokio::time::timeout;

use super::port::{NotAsked, Ticket};
use super::reply::{Marks, Paid};
use super::routed::{Place, Routed};
use super::run::OfRun;
use super::shelf::Shelved;
use super::{Desk, Question, Who, holders};

/// How long a call waits for a lease that was asked for: a round trip to the hub, and its disk.
const LEASE_WAIT: Duration = Duration::from_secs(2);

/// Settles itself when it is dropped: a leg that nobody knows the end of is paid at its bound.
pub(super) struct Open {
    desk: Desk,
    pub(super) call: CallId,
    /// As it was written down.
    admitted: Admitted,
    /// What is held back for it in all.
    reserved: Option<Money>,
    who: Who,
    started: Instant,
    /// Until the answer is let go.
    ticket: Option<Ticket>,
    legs: Vec<Leg>,
    /// What was hidden from the model that is asked now.
    sees: Option<Hidden>,
    /// What was hidden in the answer.
    pub(super) hidden: Hidden,
    bills: Vec<Bill>,
    /// What was sent, and may have to be paid.
    sent: Option<Sent>,
    /// The same of a leg beside it.
    beside: Option<Sent>,
    /// What a call has sent before it that was killed: an answer to the repetition is the bill of both, and without
    /// one the first may have to be paid.
    repeats: Option<Sent>,
    /// Tokens that were taken out of the key's minute.
    tokens: u64,
    /// What the upstreams took of the time.
    theirs: Duration,
    first: Option<Duration>,
    pub(super) degraded: bool,
    /// The call whose answer is given again.
    pub(super) cached_from: Option<CallId>,
    /// What is given where no model has a good answer.
    pub(super) resort: Option<Given>,
    /// The person who was asked.
    pub(super) person: Option<OfPerson>,
    /// Why nobody was asked who was to be.
    pub(super) unasked: Option<NotAsked>,
    /// Whose calls may be tried again so often.
    route: Option<Arc<Routed>>,
    /// By the prices of then, which its bound was reckoned with, it is billed.
    pub(super) priced_at: Timestamp,
    /// Among the calls that the route has at once.
    _place: Option<Place>,
    /// Legs that were sent.
    tries: usize,
    /// Of those, the ones whose answers were not good enough: the next one was planned with them.
    unsure: usize,
    /// Whether the client has.
    pub(super) left: Left,
    is_settled: bool,
}

/// Whether the client of a call has left. All clones are one.
#[derive(Debug, Clone, Default)]
pub(super) struct Left(Arc<AtomicBool>);

impl Left {
    pub(super) fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// A leg that was sent, and may have to be paid.
struct Sent {
    model: ModelName,
    bound: Option<Money>,
    is_free: bool,
}

impl Sent {
    fn to(shelved: &Shelved, bound: Option<Money>) -> Self {
        Self { model: shelved.model.name.clone(), bound, is_free: shelved.is_free() }
    }

    fn bill(self, usage: Option<&Usage>, price: Option<&Price>) -> Bill {
        let Self { model, bound, is_free } = self;
        Bill { is_free, ..Bill::of(model, usage, price, bound) }
    }
}

/// What is known of a call when it is admitted.
pub(super) struct Admission {
    pub asked: ModelName,
    pub needs: Needs,
    pub plan: Vec<ModelName>,
    pub streamed: bool,
    /// The most that it can cost, or why nobody can say.
    pub bound: Result<Worst, String>,
    pub tokens: u64,
    /// Whether a repetition under the same name costs nothing more.
    pub is_billed_once: bool,
    pub priced_at: Timestamp,
    pub route: Option<Arc<Routed>>,
    pub place: Option<Place>,
    pub started: Instant,
}

impl Open {
    /// Holds back the bound and writes down that the call may be made.
    pub(super) async fn admit(
        desk: &Desk,
        question: &Question,
        admission: Admission,
    ) -> Result<Self, CallRefusal> {
        let Admission { asked, needs, plan, streamed, mut bound, tokens, .. } = admission;
        let Admission { is_billed_once, priced_at, route, place, started, .. } = admission;
        let (call, now) = (desk.id(), desk.now());
        let by = &question.who.by;
        let effect = question.of_run.as_ref().filter(|_| is_billed_once).map(OfRun::effect);
        desk.brings(question);
        let left = desk.takes_over(question, &plan, is_billed_once);
        let exchange = &desk.0.exchange;
        // What was left open by a crash between two entries is one effect, billed once.
        let mut before = Worst::of_legs(1);
        for left in left.iter().filter_map(|it| it.bound) {
            before.may_end(left);
            bound.iter_mut().for_each(|it| it.may_end(left));
        }
        let repeats = before.in_any(exchange).map(|bound| Sent {
            model: plan[0].clone(),
            bound: Some(bound),
            is_free: false,
        });
        let reserved = bound.as_ref().ok().and_then(|it| it.in_any(exchange));
        let held = match bound {
            Ok(bound) if bound.is_free() => desk.in_place_of(&left, |_| Ok(Vec::new())),
            bound => hold(desk, call, by, &bound, &left).await,
        };
        let held = held.map_err(CallRefusal::Budget)?;
        let admitted = Admitted {
            v: ENTRY_VERSION,
            call,
            at: now,
            who: by.clone(),
            operation: question.operation,
            asked,
            plan,
            streamed,
            held,
            bound: reserved,
            effect,
            trace: question.trace,
            needs,
            watched: None,
        };
        let Ok(ticket) = desk.0.record.write(Entry::Admitted(admitted.clone())) else {
            // Nobody knows of it, so that nothing is left of it.
            desk.budgets(|books| books.release(call));
            desk.hold_on(&left);
            return Err(CallRefusal::Unwritten);
        };
        left.iter().for_each(|it| desk.repeated(it, call));
        Ok(Self {
            desk: desk.clone(),
            call,
            admitted,
            reserved,
            who: question.who.clone(),
            started,
            ticket: Some(ticket),
            legs: Vec::with_capacity(1),
            sees: None,
            hidden: Hidden::new(),
            bills: Vec::new(),
            sent: None,
            beside: None,
            repeats,
            tokens,
            theirs: Duration::ZERO,
            first: None,
            degraded: false,
            cached_from: None,
            resort: None,
            person: None,
            unasked: None,
            route,
            priced_at,
            _place: place,
            tries: 0,
            unsure: 0,
            left: Left::default(),
            is_settled: false,
        })
    }

    pub(super) fn desk(&self) -> &Desk {
        &self.desk
    }

    /// A leg is about to be sent, that may cost so much. One before it that may have to be paid keeps what it
    /// holds.
    pub(super) fn sends(&mut self, to: &Shelved, bound: Option<Money>) -> Result<(), Missed> {
        self.is_awaited()?;
        self.takes_retry(to)?;
        self.reserves(bound).ok_or(Missed::Budget)?;
        self.tries += 1;
        self.sent = Some(Sent::to(to, bound));
        Ok(())
    }

    /// A leg is about to be sent beside the one that is under way: both may have to be paid.
    pub(super) fn sends_beside(
        &mut self,
        to: &Shelved,
        bound: Option<Money>,
    ) -> Result<(), Missed> {
        self.is_awaited()?;
        self.takes_retry(to)?;
        self.reserves(bound).ok_or(Missed::Budget)?;
        self.tries += 1;
        self.beside = Some(Sent::to(to, bound));
        Ok(())
    }

    /// Of two that are under way, it is this one whose end is told now.
    pub(super) fn awaits(&mut self, model: &ModelName) {
        if self.beside.as_ref().is_some_and(|beside| beside.model == *model) {
            std::mem::swap(&mut self.sent, &mut self.beside);
        }
    }

    /// A leg after one that was sent in vain, to a server that has failed, too: in an outage of all of them, each call
    /// would be one for every model. One after an answer that was not good enough is none.
    fn takes_retry(&self, to: &Shelved) -> Result<(), Missed> {
        let is_well = || to.health(|health, _| health.is_well());
        match &self.route {
            Some(route)
                if self.tries > self.unsure
                    && !is_well()
                    && !route.takes_retry(self.desk.now()) =>
            {
                Err(Missed::Retries)
            }
            _ => Ok(()),
        }
    }

    /// For one who has left nobody is asked any more.
    fn is_awaited(&self) -> Result<(), Missed> {
        if self.left.is_set() { Err(Missed::Left) } else { Ok(()) }
    }

    /// How many legs were sent.
    pub(super) const fn tries(&self) -> usize {
        self.tries
    }

    /// The answer that has come is not good enough. It is paid for, and was planned with.
    pub(super) fn unsure(&mut self) {
        self.unsure += 1;
        if let Some(leg) = self.legs.last_mut() {
            leg.why = Some(Missed::Unsure);
        }
    }

    /// Whether the model that is asked next stands in for one that has failed. One that is asked since the
    /// answers before it were not good enough does not.
    pub(super) fn is_fallback(&self) -> bool {
        let is_it = |leg: &Leg| !matches!(leg.why, Some(Missed::Unsure | Missed::Unjudged));
        self.legs.iter().any(is_it)
    }

    /// What an answer says of how it came to be.
    pub(super) fn marks(&self) -> Marks {
        let degraded = match self.resort {
            Some(given) => Some(given.as_str()),
            None if self.degraded => Some("fallback"),
            None => None,
        };
        let escalated = self.legs.iter().filter(|leg| leg.why == Some(Missed::Unsure)).count();
        Marks { degraded, escalated: if self.resort.is_some() { 0 } else { escalated } }
    }

    /// Sees to it that what may have to be paid so far, and the next leg, are held back and written down: whoever is
    /// killed from now on may have to pay both legs.
    fn reserves(&mut self, next: Option<Money>) -> Option<()> {
        let paid = self.bills.iter().filter_map(|bill| bill.cost);
        let under_way = [&self.sent, &self.beside].into_iter().flatten().filter_map(|it| it.bound);
        let mut all: Vec<Money> = paid.chain(under_way).collect();
        if all.is_empty() {
            // What it holds already is for whichever is the first.
            return Some(());
        }
        all.extend(next);
        let (needed, exchange) = (Worst::sum(all), &self.desk.0.exchange);
        let mut is_more = false;
        if !self.admitted.held.is_empty() {
            let held = self.desk.budgets(|books| {
                let more = books.extend(self.call, &needed, exchange).ok()?;
                Some((!more.is_empty()).then(|| books.held(self.call)))
            })?;
            if let Some(held) = held {
                (self.admitted.held, is_more) = (held, true);
            }
        }
        let bound = match self.reserved {
            Some(reserved) => needed.in_currency(reserved.currency, exchange).ok(),
            None => needed.in_any(exchange),
        };
        let is_dearer = |it: &Money| self.reserved.is_none_or(|most| it.amount > most.amount);
        // Where nothing holds it, nobody needs a rate.
        if let Some(bound) = bound.filter(is_dearer) {
            self.reserved = Some(bound);
            self.admitted.bound = Some(bound);
            is_more = true;
        }
        if is_more {
            let entry = Entry::Admitted(self.admitted.clone());
            // Its page is behind that of the first one.
            self.ticket = Some(self.desk.0.record.write(entry).ok()?);
        }
        Some(())
    }

    /// So much is hidden from it.
    pub(super) fn sees(&mut self, hidden: Option<Hidden>) {
        self.sees = hidden;
    }

    /// The leg's end is known, and costs nothing.
    pub(super) fn was_free(&mut self) {
        self.sent = None;
    }

    /// The leg's end is not known: it is paid at its bound.
    pub(super) fn is_lost(&mut self) {
        if let Some(sent) = self.sent.take() {
            self.repeats = None;
            self.bills.push(sent.bill(None, None));
        }
    }

    /// It is told of what it repeats, too: that was no use either.
    pub(super) fn was_free_before(&mut self) {
        self.repeats = None;
    }

    /// The leg has answered, and this was used; nobody knows what, where there is none.
    pub(super) fn has_used(&mut self, usage: Option<&Usage>, price: Option<&Price>) {
        let Some(sent) = self.sent.take() else { return };
        self.repeats = None;
        self.bills.push(sent.bill(usage, price));
    }

    pub(super) fn leg(
        &mut self,
        model: &ModelName,
        status: Option<u16>,
        why: Option<Missed>,
        took: Duration,
    ) {
        self.theirs += took;
        let (model, micros) = (model.clone(), micros(took));
        let hidden = self.sees.take();
        self.legs.push(Leg { model, status, why, cause: None, micros, hidden });
    }

    /// Why there was no connection for the leg that was told of last.
    pub(super) fn because(&mut self, cause: &str) {
        let cause: String = cause.chars().filter(|it| !it.is_control()).collect();
        if let Some(leg) = self.legs.last_mut() {
            leg.cause = Some(cause.chars().take(CAUSE_CHARS_MAX).collect());
        }
    }

    /// The leg that was told of last has failed, with this status.
    pub(super) fn fails(&mut self, status: u16, why: Option<Missed>) {
        if let Some(leg) = self.legs.last_mut() {
            (leg.status, leg.why) = (Some(status), why);
        }
    }

    /// The leg that has begun to answer has no answer after all.
    pub(super) fn broke_off(&mut self, why: Missed, took: Duration) {
        self.theirs += took;
        if let Some(leg) = self.legs.last_mut() {
            leg.why = Some(why);
            leg.micros = leg.micros.saturating_add(micros(took));
        }
    }

    pub(super) fn legs(&self) -> &[Leg] {
        &self.legs
    }

    /// What it comes to so far, in the currency of the last leg.
    pub(super) fn paid(&self) -> Paid {
        let currency = self.bills.iter().rev().find_map(|bill| bill.cost).map(|it| it.currency);
        let mut cost = currency.map(|it| Amount::ZERO.of(it));
        for bill in &self.bills {
            let exchange = &self.desk.0.exchange;
            let more = cost.zip(bill.cost).map(|(sum, cost)| {
                let same = exchange.convert(cost, sum.currency).ok()?;
                sum.plus(same).ok()
            });
            cost = more.unwrap_or(cost);
        }
        Paid {
            used: self.bills.last().and_then(|bill| bill.usage),
            cost,
            is_free: self.bills.iter().all(|bill| bill.is_free),
            is_bound: self.bills.iter().any(|bill| bill.is_bound),
        }
    }

    pub(super) fn waited(&mut self, took: Duration) {
        self.theirs += took;
    }

    pub(super) fn first(&mut self) {
        self.first.get_or_insert_with(|| self.started.elapsed());
    }

    /// Until what was admitted is durable: only then an answer may be let go.
    pub(super) async fn durable(&mut self) -> Result<(), CallRefusal> {
        match self.ticket.take() {
            Some(ticket) => ticket.durable().await.map_err(|_| CallRefusal::Unwritten),
            None => Ok(()),
        }
    }

    /// Writes down how it ended. Once.
    pub(super) fn settle(&mut self, end: End) {
        if std::mem::replace(&mut self.is_settled, true) {
            return;
        }
        self.is_lost();
        self.sent = self.beside.take();
        self.is_lost();
        self.sent = self.repeats.take();
        self.is_lost();
        let costs: Vec<Money> = self.bills.iter().filter_map(|bill| bill.cost).collect();
        let exchange = &self.desk.0.exchange;
        let settled = self.desk.budgets(|books| {
            let settled = books.settle(self.call, &costs, exchange);
            settled.unwrap_or_else(|_| books.settle_held(self.call, exchange))
        });
        let (charged, alarms) = settled;
        self.desk.alarm(&self.who.by.namespace, &alarms);
        let tokens = |it: &Used| it.input.saturating_add(it.output);
        let used = self.bills.iter().filter_map(|it| it.usage.as_ref()).map(tokens);
        let used = used.fold(0, u64::saturating_add);
        let is_known = self.bills.iter().all(|bill| bill.usage.is_some());
        // A leg that nobody knows the end of may have used what was taken.
        let used = if is_known { used } else { used.max(self.tokens) };
        self.desk.correct(&self.who, self.tokens, used);
        if let Some(route) = &self.route {
            route.correct(self.tokens, used, self.desk.now());
        }
        let took = self.started.elapsed();
        let entry = Entry::Settled(Settled {
            v: ENTRY_VERSION,
            call: self.call,
            at: self.desk.now(),
            end,
            legs: std::mem::take(&mut self.legs),
            bills: std::mem::take(&mut self.bills),
            charged,
            degraded: self.degraded,
            micros: micros(took),
            own_micros: micros(took.saturating_sub(self.theirs)),
            first_micros: self.first.map(micros),
            repeated_by: None,
            hidden: std::mem::take(&mut self.hidden),
            cached_from: self.cached_from,
            resort: self.resort,
            person: self.person.take(),
        });
        if self.desk.0.record.write(entry).is_err() {
            // The next start settles it at its bound.
            tracing::error!(call = %self.call, "cannot write down how a call ended");
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.settle(End::Left);
    }
}

/// Holds the bound in all budgets. Where the hub was just asked for more of one, it is waited for, but not for
/// long: a call that others of the fleet leave no room for must not hang.
async fn hold(
    desk: &Desk,
    call: CallId,
    by: &By,
    bound: &Result<Worst, String>,
    left: &[Admitted],
) -> Result<Vec<Line>, Box<Refused>> {
    let (holders, until) = (holders(by), Instant::now() + LEASE_WAIT);
    let mut granted: Option<watch::Receiver<u64>> = None;
    loop {
        let held = desk.in_place_of(left, |books| {
            books.reserve(call, &holders, bound, &desk.0.exchange, desk.now())
        });
        let is_low = desk.budgets(|books| books.purses().takes_low());
        if is_low {
            desk.0.low.notify_one();
        }
        let may_come = matches!(&held, Err(refused)
            if matches!(**refused, Refused::Leased { missing: Missing::Asked, .. }));
        if !may_come {
            return held;
        }
        match &mut granted {
            // What has come since it was refused is seen at once.
            None => granted = Some(desk.0.granted.subscribe()),
            Some(granted) => {
                let left = until.saturating_duration_since(Instant::now());
                if timeout(left, granted.changed()).await.is_err() {
                    return held;
                }
            }
        }
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
