//! Two models beside each other, where the first says nothing for long. The first head of an answer wins; the
//! other one was sent, and nobody learns what it costs, so that it is paid at its bound. Where nothing good is
//! behind that head, the other one is asked again.

use std::pin::Pin;
use std::time::Instant;

use futures::future::{Either, select};
use models::Hedge;
use tokio::time::sleep;

use super::leg::{self, Leg, Ready, Went};
use super::open::Open;
use super::shelf::Outlet;
use crate::lane::{LaneAnswer, LaneError};

type Sent = Result<LaneAnswer, LaneError>;

/// A request under way.
struct Flight<'a> {
    ready: Ready<'a>,
    answer: Pin<Box<dyn Future<Output = Sent> + Send + 'a>>,
    since: Instant,
}

/// Who was asked, and of whom is what came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tried {
    /// The second one may be asked yet.
    First,
    /// Both have ended, and nothing came of the other one.
    Both(Who),
    /// The other one was slower, and was given up.
    Won(Who),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Who {
    First,
    Second,
}

/// What came of it, and what the second model has refused, where the first one seems to answer: it counts where no
/// answer is behind that.
pub(super) type Hedged = (Went, Tried, Option<Went>);

impl Tried {
    /// How many were asked beside the first one.
    pub(super) const fn more(self) -> usize {
        match self {
            Self::First => 0,
            Self::Both(_) | Self::Won(_) => 1,
        }
    }

    /// Whose it is, and who is to be asked again where nothing good is behind the head that has won.
    pub(super) fn of<'a>(self, first: Leg<'a>, second: Leg<'a>) -> (Leg<'a>, Option<Leg<'a>>) {
        match self {
            Self::First | Self::Both(Who::First) => (first, None),
            Self::Both(Who::Second) => (second, None),
            Self::Won(Who::First) => (first, Some(second)),
            Self::Won(Who::Second) => (second, Some(first)),
        }
    }
}

impl<'a> Flight<'a> {
    fn of(mut ready: Ready<'a>) -> Self {
        let answer = Box::pin(ready.send());
        Self { ready, answer, since: Instant::now() }
    }

    async fn landed(self, open: &mut Open, sent: Sent) -> Went {
        self.ready.went(open, sent, self.since).await
    }

    /// What it may cost is what is awaited now.
    fn is_awaited(&self, open: &mut Open) {
        let leg = self.ready.leg();
        open.awaits(&leg.shelved.model.name);
    }

    fn lost(self, open: &mut Open) {
        self.is_awaited(open);
        open.is_lost();
        self.ready.slower(open, self.since.elapsed());
    }
}

pub(super) async fn go(open: &mut Open, one: Leg<'_>, other: Leg<'_>, hedge: &Hedge) -> Hedged {
    // What the site runs itself has a queue of its own, and no other machine is faster for it.
    if [one, other].iter().any(|leg| matches!(leg.shelved.outlet, Outlet::Disk)) {
        return (leg::go(open, one).await, Tried::First, None);
    }
    let ready = match leg::ready(open, one).await {
        Ok(ready) => ready,
        Err(went) => return (went, Tried::First, None),
    };
    if let Err(why) = open.sends(one.shelved, one.bound) {
        return (leg::missed(open, one, why, None), Tried::First, None);
    }
    let mut first = Flight::of(ready);
    let wait = Box::pin(sleep(hedge.after.duration().as_std()));
    if let Either::Left((sent, _)) = select(first.answer.as_mut(), wait).await {
        return (first.landed(open, sent).await, Tried::First, None);
    }
    let readied = {
        let readying = Box::pin(leg::ready(open, other));
        match select(first.answer.as_mut(), readying).await {
            Either::Left((sent, readying)) => {
                drop(readying);
                Err(Some(sent))
            }
            Either::Right((Ok(ready), _)) => Ok(ready),
            Either::Right((Err(_), _)) => Err(None),
        }
    };
    let ready = match readied {
        Ok(ready) if open.sends_beside(other.shelved, other.bound).is_ok() => ready,
        Err(Some(sent)) => return (first.landed(open, sent).await, Tried::First, None),
        // There is nobody to ask, or no room for both.
        Ok(_) | Err(None) => {
            let sent = first.answer.as_mut().await;
            return (first.landed(open, sent).await, Tried::First, None);
        }
    };
    both(open, first, Flight::of(ready)).await
}

async fn both<'a>(open: &mut Open, mut first: Flight<'a>, mut second: Flight<'a>) -> Hedged {
    let (sent, who) = match select(first.answer.as_mut(), second.answer.as_mut()).await {
        Either::Left((sent, _)) => (sent, Who::First),
        Either::Right((sent, _)) => (sent, Who::Second),
    };
    let (ended, mut other, other_is) = match who {
        Who::First => (first, second, Who::Second),
        Who::Second => (second, first, Who::First),
    };
    let has_won = sent.as_ref().is_ok_and(|answer| answer.status.is_success());
    if has_won {
        other.lost(open);
        ended.is_awaited(open);
        open.degraded |= who == Who::Second;
        return (ended.landed(open, sent).await, Tried::Won(who), None);
    }
    ended.is_awaited(open);
    let went = ended.landed(open, sent).await;
    let is_refused = matches!(went, Went::Refused(..));
    if is_refused && who == Who::First {
        // The request is wrong, and another model would say no other.
        other.lost(open);
        return (went, Tried::Both(who), None);
    }
    let sent = other.answer.as_mut().await;
    other.is_awaited(open);
    let others = other.landed(open, sent).await;
    if is_refused && matches!(others, Went::Missed { .. }) {
        return (went, Tried::Both(who), None);
    }
    // What the second one does not take, the first one may.
    open.degraded |= other_is == Who::Second;
    (others, Tried::Both(other_is), is_refused.then_some(went))
}
