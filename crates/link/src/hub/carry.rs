//! What somebody brings in a file: judged as a session is, but that nobody is there. Why it is so:
//! ADR 16.

use base::stream::{Head, PerStream, Stream};
use wire::exchange::{Begins, Up};
use wire::link::{Entries, RefusedCode};

use super::judge::{Verdict, judge_carried};
use super::{Awaited, Effect, Seat, Suspicion, Write, follow, is_closed};
use crate::{ANCESTORS_MAX, COUNT_MAX, ENTRIES_MAX};

/// What was new in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Carried {
    pub taken: PerStream<u64>,
}

/// Why nothing more of a file is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotCarried {
    /// As a session would be.
    Refused(RefusedCode),
    /// It does not fit what is known, and is shown.
    Doubt(Suspicion),
    /// It begins behind what the hub has, and the site may still hold what is between.
    Gap(Stream),
    /// The site is online in another life of its store.
    Online,
    /// It says what no site says.
    Bad,
}

/// A file that is being taken.
#[derive(Debug)]
pub(super) struct Carrier {
    up: Box<Up>,
    stage: Stage,
    /// Where each stream of the file is.
    lanes: PerStream<Head>,
    carried: Carried,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Something is being written that it is judged by.
    Waiting,
    /// Who is the site now is being written.
    Granting,
    Carrying,
    Ending,
}

impl Carrier {
    pub(super) fn new(up: Box<Up>) -> Self {
        let lanes = PerStream::of(|stream| up.streams.get(stream).after);
        Self { up, stage: Stage::Waiting, lanes, carried: Carried::default() }
    }

    fn is_sound(&self) -> bool {
        let hello = &self.up.hello;
        let is_sound = |stream: Stream| {
            let (last, Begins { after, base }) =
                (*hello.last.get(stream), *self.up.streams.get(stream));
            base <= after.position && after.position <= last && last < COUNT_MAX
        };
        hello.ancestors.len() <= ANCESTORS_MAX
            && hello.session < COUNT_MAX
            && self.up.number < COUNT_MAX
            && Stream::ALL.into_iter().all(is_sound)
            && is_closed(&self.up.health)
    }
}

fn carried(write: Write) -> Effect {
    Effect::Write(Write::Carried(Box::new(write)))
}

impl Seat {
    /// Judges a file, once nothing is being written that it is judged by.
    pub(super) fn consider_carrier(&mut self, effects: &mut Vec<Effect>) {
        let Some(carrier) = &mut self.carrier else { return };
        if carrier.stage != Stage::Waiting || !self.writing.is_empty() {
            return;
        }
        let hello = &carrier.up.hello;
        if hello.site != self.kept.site || !carrier.is_sound() {
            return self.not_carried(NotCarried::Bad, effects);
        }
        match judge_carried(&self.kept, hello) {
            Verdict::Refuse(code) => self.not_carried(NotCarried::Refused(code), effects),
            Verdict::Suspect(suspicion) => self.doubt(suspicion, effects),
            Verdict::Grant { present, .. } if self.kept.present == Some(present) => {
                self.carrier_granted(effects);
            }
            Verdict::Grant { .. } if self.host.is_some() => {
                self.not_carried(NotCarried::Online, effects);
            }
            Verdict::Grant { present, retired } => {
                carrier.stage = Stage::Granting;
                self.writing.push_back(Awaited::Granted);
                effects.push(carried(Write::Present { present, retired }));
            }
        }
    }

    /// Whose file it is, is the site. Its streams go on where the hub is.
    pub(super) fn carrier_granted(&mut self, effects: &mut Vec<Effect>) {
        let Some(carrier) = &mut self.carrier else { return };
        carrier.stage = Stage::Carrying;
        let streams = carrier.up.streams;
        for stream in Stream::ALL {
            let Begins { after, base } = *streams.get(stream);
            let have = *self.pending.get(stream);
            let is_behind = have.is_none_or(|have| have.position < after.position);
            if is_behind && after.position > base {
                return self.not_carried(NotCarried::Gap(stream), effects);
            }
            if have.is_some_and(|have| have.position == after.position && have != after) {
                return self.doubt(Suspicion::ChainDiffers, effects);
            }
        }
        for stream in Stream::ALL {
            let Begins { after, .. } = *streams.get(stream);
            let have = self.pending.get_mut(stream);
            if have.is_some_and(|have| have.position >= after.position) {
                continue;
            }
            let before = self.kept.present.and_then(|present| *present.before.get(stream));
            let had = have.map(|have| have.position).or(before);
            let lost = after.position.saturating_sub(had.unwrap_or(after.position));
            *have = Some(after);
            self.writing.push_back(Awaited::Nobody);
            effects.push(carried(Write::Begin { stream, head: after, lost }));
        }
    }

    pub(super) fn carried_entries(&mut self, frame: &Entries, effects: &mut Vec<Effect>) {
        let Some(carrier) = &mut self.carrier else { return };
        let stream = frame.stream;
        let mut at = *carrier.lanes.get(stream);
        let is_empty = frame.entries.is_empty() || frame.entries.len() > ENTRIES_MAX as usize;
        if carrier.stage != Stage::Carrying || at.position != frame.after || is_empty {
            return self.not_carried(NotCarried::Bad, effects);
        }
        if self.kept.quarantine.is_some() {
            return self.not_carried(NotCarried::Refused(RefusedCode::Quarantined), effects);
        }
        let have = self.pending.get_mut(stream);
        let (new, differs) = follow(&mut at, *have, frame);
        if differs {
            return self.doubt(Suspicion::ChainDiffers, effects);
        }
        if at.digest != frame.digest || at.position > *carrier.up.hello.last.get(stream) {
            return self.not_carried(NotCarried::Bad, effects);
        }
        *carrier.lanes.get_mut(stream) = at;
        if new.is_empty() {
            return;
        }
        *have = Some(at);
        *carrier.carried.taken.get_mut(stream) += new.len() as u64;
        self.writing.push_back(Awaited::Nobody);
        effects.push(carried(Write::Take { stream, entries: new, head: at }));
        if stream == Stream::Receipt {
            // There is room for more.
            self.ordered(effects);
        }
    }

    pub(super) fn carried_end(&mut self, effects: &mut Vec<Effect>) {
        let Some(carrier) = &mut self.carrier else { return };
        if carrier.stage != Stage::Carrying {
            return self.not_carried(NotCarried::Bad, effects);
        }
        carrier.stage = Stage::Ending;
        let session = carrier.up.hello.session;
        let is_spoken =
            self.host.is_some() || self.kept.present.is_some_and(|it| it.confirmed > session);
        let health = Some(carrier.up.health.clone()).filter(|_| !is_spoken);
        let (number, at) = (carrier.up.number, carrier.up.at);
        self.writing.push_back(Awaited::Carried);
        effects.push(carried(Write::CarriedEnd { number, at, health }));
    }

    /// All of it is durable.
    pub(super) fn carried(&mut self, effects: &mut Vec<Effect>) {
        if let Some(carrier) = self.carrier.take_if(|it| it.stage == Stage::Ending) {
            effects.push(Effect::Carried(Ok(carrier.carried)));
        }
    }

    /// Another life of the site's store has come, whom this file is not of.
    pub(super) fn carrier_overtaken(&mut self, effects: &mut Vec<Effect>) {
        if self.carrier.is_some() {
            self.not_carried(NotCarried::Online, effects);
        }
    }

    fn doubt(&mut self, suspicion: Suspicion, effects: &mut Vec<Effect>) {
        self.writing.push_back(Awaited::Nobody);
        effects.push(carried(Write::Doubt(suspicion)));
        self.not_carried(NotCarried::Doubt(suspicion), effects);
    }

    fn not_carried(&mut self, why: NotCarried, effects: &mut Vec<Effect>) {
        self.carrier = None;
        effects.push(Effect::Carried(Err(why)));
    }
}
