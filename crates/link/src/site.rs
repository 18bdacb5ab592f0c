//! The site's end of one connection.
//!
//! It finds out where the hub is, sends what the hub does not have, and writes down what the hub tells.
//! One of these lives as long as its connection; what outlives it is in [`Kept`].

mod carry;
mod kept;

use std::collections::VecDeque;

use base::{DocumentError, IncarnationId, SiteName};
use bytes::Bytes;
use serde_json::value::RawValue;
use wire::edition;
use wire::link::{
    Acknowledged, Ancestor, Begin, Document, Edition, Entries, Have, Head, Health, Hello, HubFrame,
    Order, PerStream, Proof, Ready, Refuse, RefuseCode, Refused, Signed, SiteFrame, Stream,
    VERSIONS, Want, Welcome,
};

pub use self::carry::{NotTaken, down, up, up_entries};
pub use self::kept::{
    KEPT_FOR_A_HUB, KeepError, Line, edition, edition_forget, left, piece_name, prune, read,
};
use crate::{COUNT_MAX, ENTRIES_BYTES_MAX, ENTRIES_MAX, WINDOW_BYTES, extend};

/// What a site has written down.
#[derive(Debug, Clone)]
pub struct Kept {
    pub site: SiteName,
    pub incarnation: IncarnationId,
    /// From the one before back.
    pub ancestors: Vec<Ancestor>,
    /// The last that this incarnation was granted; 0 at first.
    pub session: u64,
    /// The incarnation of the hub that granted it.
    pub hub: Option<IncarnationId>,
    pub outboxes: PerStream<Outbox>,
    /// The edition that it has.
    pub edition: Option<Signed>,
}

impl Kept {
    /// What it says first.
    #[must_use]
    pub fn hello(&self) -> Hello {
        Hello {
            versions: VERSIONS.to_vec(),
            site: self.site.clone(),
            incarnation: self.incarnation,
            ancestors: self.ancestors.clone(),
            session: self.session,
            last: PerStream::of(|stream| self.outboxes.get(stream).last),
            edition: self.edition.clone(),
        }
    }

    /// Whether this is the hub that it knows, in that life or a later one.
    #[must_use]
    pub fn knows(&self, hub: IncarnationId, before: &[IncarnationId]) -> bool {
        self.hub.is_none_or(|known| known == hub || before.contains(&known))
    }

    /// Whether an edition takes the place of what is there. That it is signed, and for this site, is
    /// known.
    pub fn is_later(&self, new: &Signed) -> Result<bool, RefuseCode> {
        let head = head_of(new).map_err(|_| RefuseCode::BadFrame)?;
        let Some(kept) = self.edition.as_ref().and_then(|kept| head_of(kept).ok()) else {
            return Ok(true);
        };
        if head.number == kept.number && head.root != kept.root {
            return Err(RefuseCode::EditionForked);
        }
        // One that is not may be held back by somebody, or of a hub that was set back: it goes on above.
        Ok(head.number > kept.number)
    }
}

/// What is to be said apart from the streams: how the site is, and which text it wants next.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Saying {
    /// Nothing until the site has looked.
    pub health: Option<Health>,
    pub want: Option<Want>,
}

/// The entries of one stream.
#[derive(Debug, Clone, Copy)]
pub struct Outbox {
    /// Behind the newest that is gone.
    pub base: Head,
    /// What the hub has, as far as is known. Entries beyond it are never deleted.
    pub mark: Head,
    /// The newest position.
    pub last: u64,
}

#[derive(Debug)]
pub enum Input {
    Opened,
    Frame(HubFrame),
    /// What was asked for by [`Effect::Read`]: as many as wanted, or all there are.
    Read {
        stream: Stream,
        after: u64,
        entries: Vec<Bytes>,
    },
    /// It is durable. Answers come in the order of what was asked for.
    Written(Write),
    /// The newest position of a stream.
    Grown {
        stream: Stream,
        last: u64,
    },
    /// The newest of it.
    Say(Saying),
    /// An edition that is not to be believed has come.
    Unsigned,
    /// The owner ends it.
    Leave,
}

#[derive(Debug)]
pub enum Effect {
    Send(SiteFrame),
    /// Entries behind `after`, in order: at most [`ENTRIES_MAX`], and as many as [`ENTRIES_BYTES_MAX`]
    /// holds, but at least one.
    Read {
        stream: Stream,
        after: u64,
    },
    Write(Write),
    /// The last effect.
    Close(Ending),
}

#[derive(Debug, Clone)]
pub enum Write {
    Session {
        session: u64,
        hub: IncarnationId,
    },
    /// Also backwards: a hub that was restored has less.
    Mark {
        stream: Stream,
        head: Head,
    },
    /// Those that are known already stay as they are.
    Orders(Vec<Order>),
    /// It takes the place of the one before.
    Edition(Box<Edition>),
    Piece(Document),
}

/// Why the site closes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// The hub said so.
    Refused(Refused),
    /// The hub was told so.
    Refuse(RefuseCode),
    /// The outbox does not have what it should.
    Damaged(Stream),
}

#[derive(Debug)]
pub struct Session {
    kept: Kept,
    phase: Phase,
    lanes: PerStream<Lane>,
    saying: Saying,
    said: Option<Saying>,
}

#[derive(Debug)]
enum Phase {
    New,
    Greeting,
    /// The session's number is being written down.
    Noting(PerStream<Option<Head>>),
    Open,
    Closed,
}

#[derive(Debug)]
enum Lane {
    /// Until the session is open.
    Shut,
    /// Our chain is followed up to where the hub's is.
    Comparing {
        at: Head,
        theirs: Head,
    },
    Sending(Sending),
}

#[derive(Debug)]
struct Sending {
    sent: Head,
    /// Heads behind each frame that has no answer yet, with its bytes.
    under_way: VecDeque<(Head, usize)>,
    is_reading: bool,
}

impl Session {
    #[must_use]
    pub fn new(kept: Kept) -> Self {
        let lanes = PerStream::of(|_| Lane::Shut);
        Self { kept, phase: Phase::New, lanes, saying: Saying::default(), said: None }
    }

    pub fn handle(&mut self, input: Input) -> Vec<Effect> {
        let mut effects = Vec::new();
        if let Err(ending) = self.take(input, &mut effects) {
            self.phase = Phase::Closed;
            if let Ending::Refuse(code) = ending {
                effects.push(Effect::Send(SiteFrame::Refuse(Refuse { code })));
            }
            effects.push(Effect::Close(ending));
        }
        effects
    }

    fn take(&mut self, input: Input, effects: &mut Vec<Effect>) -> Result<(), Ending> {
        match (&self.phase, input) {
            (Phase::Closed, _) => Ok(()),
            (Phase::New, Input::Opened) => {
                self.phase = Phase::Greeting;
                effects.push(Effect::Send(SiteFrame::Hello(self.kept.hello())));
                Ok(())
            }
            (_, Input::Grown { stream, last }) => {
                let outbox = self.kept.outboxes.get_mut(stream);
                outbox.last = outbox.last.max(last);
                self.pump(stream, effects);
                Ok(())
            }
            (_, Input::Frame(HubFrame::Refused(refused))) => Err(Ending::Refused(refused)),
            (Phase::Greeting, Input::Frame(HubFrame::Prove(prove))) => {
                let proof = Proof { nonce: prove.nonce, session: self.kept.session };
                effects.push(Effect::Send(SiteFrame::Proof(proof)));
                Ok(())
            }
            (Phase::Greeting, Input::Frame(HubFrame::Welcome(welcome))) => {
                self.welcome(&welcome, effects)
            }
            (Phase::Noting(heads), Input::Written(Write::Session { session, hub })) => {
                let heads = *heads;
                (self.kept.session, self.kept.hub) = (session, Some(hub));
                self.phase = Phase::Open;
                effects.push(Effect::Send(SiteFrame::Ready(Ready { session })));
                self.say(effects);
                Stream::ALL
                    .into_iter()
                    .try_for_each(|stream| self.settle(stream, *heads.get(stream), effects))
            }
            (Phase::Open, Input::Frame(HubFrame::Acknowledged(it))) => {
                self.acknowledged(it, effects)
            }
            (Phase::Open, Input::Frame(HubFrame::Orders(orders))) => {
                effects.push(Effect::Write(Write::Orders(orders.orders)));
                Ok(())
            }
            (Phase::Open, Input::Written(Write::Orders(orders))) => {
                let orders = orders.into_iter().map(|order| order.id).collect();
                effects.push(Effect::Send(SiteFrame::Have(Have { orders })));
                Ok(())
            }
            (Phase::Open, Input::Frame(HubFrame::Edition(edition))) => {
                self.edition(edition, effects)
            }
            (Phase::Open, Input::Frame(HubFrame::Document(piece))) => {
                // What was not asked for is not kept.
                let wanted = Some(Want { text: piece.text, offset: piece.offset });
                if self.said.as_ref().is_some_and(|said| said.want == wanted) {
                    effects.push(Effect::Write(Write::Piece(piece)));
                }
                Ok(())
            }
            (Phase::Open, Input::Written(Write::Edition(edition))) => {
                self.kept.edition = Some(edition.signed);
                Ok(())
            }
            (_, Input::Leave) => Err(Ending::Refuse(RefuseCode::Left)),
            (_, Input::Unsigned) => Err(Ending::Refuse(RefuseCode::EditionUnsigned)),
            (_, Input::Say(saying)) => {
                self.saying = saying;
                self.say(effects);
                Ok(())
            }
            (Phase::Open, Input::Read { stream, after, entries }) => {
                self.read(stream, after, &entries, effects)
            }
            (_, Input::Written(_) | Input::Read { .. } | Input::Opened) => Ok(()),
            (
                Phase::New | Phase::Greeting | Phase::Noting(_) | Phase::Open,
                Input::Frame(
                    HubFrame::Prove(_)
                    | HubFrame::Welcome(_)
                    | HubFrame::Acknowledged(_)
                    | HubFrame::Orders(_)
                    | HubFrame::Edition(_)
                    | HubFrame::Document(_),
                ),
            ) => Err(Ending::Refuse(RefuseCode::BadFrame)),
        }
    }

    /// A later one takes the place of what is there. That it is signed, and for this site, is known.
    fn edition(&mut self, new: Box<Edition>, effects: &mut Vec<Effect>) -> Result<(), Ending> {
        if self.kept.is_later(&new.signed).map_err(Ending::Refuse)? {
            effects.push(Effect::Write(Write::Edition(new)));
        }
        Ok(())
    }

    /// Says what has not been said in this session.
    fn say(&mut self, effects: &mut Vec<Effect>) {
        if !matches!(self.phase, Phase::Open) {
            return;
        }
        let Saying { health, want } = &self.saying;
        let said = self.said.take().unwrap_or_default();
        // Also where there is nothing to tell, once: there may have been something before.
        if let Some(health) = health.clone().filter(|health| said.health.as_ref() != Some(health)) {
            effects.push(Effect::Send(SiteFrame::Health(health)));
        }
        if let Some(want) = want.filter(|want| said.want != Some(*want)) {
            effects.push(Effect::Send(SiteFrame::Want(want)));
        }
        self.said = Some(self.saying.clone());
    }

    fn welcome(&mut self, welcome: &Welcome, effects: &mut Vec<Effect>) -> Result<(), Ending> {
        if !self.kept.knows(welcome.incarnation, &welcome.before) {
            return Err(Ending::Refuse(RefuseCode::HubRetired));
        }
        let is_next = welcome.session > self.kept.session && welcome.session < COUNT_MAX;
        if !is_next || !VERSIONS.contains(&welcome.version) {
            return Err(Ending::Refuse(RefuseCode::BadFrame));
        }
        self.phase = Phase::Noting(welcome.heads);
        let (session, hub) = (welcome.session, welcome.incarnation);
        effects.push(Effect::Write(Write::Session { session, hub }));
        Ok(())
    }

    /// Finds out where a stream goes on.
    fn settle(
        &mut self,
        stream: Stream,
        theirs: Option<Head>,
        effects: &mut Vec<Effect>,
    ) -> Result<(), Ending> {
        let outbox = *self.kept.outboxes.get(stream);
        let Some(theirs) = theirs.filter(|it| it.position >= outbox.base.position) else {
            let begin = Begin { stream, after: outbox.base };
            effects.push(Effect::Send(SiteFrame::Begin(begin)));
            self.go_on(stream, outbox.base, effects);
            return Ok(());
        };
        if theirs.position > outbox.last {
            return Err(Ending::Refuse(RefuseCode::ChainDiffers));
        }
        // A hub that was set back is before the mark.
        let at = if theirs.position >= outbox.mark.position { outbox.mark } else { outbox.base };
        *self.lanes.get_mut(stream) = Lane::Comparing { at, theirs };
        self.compare(stream, &[], effects)
    }

    fn compare(
        &mut self,
        stream: Stream,
        entries: &[Bytes],
        effects: &mut Vec<Effect>,
    ) -> Result<(), Ending> {
        let Lane::Comparing { at, theirs } = self.lanes.get_mut(stream) else { return Ok(()) };
        for entry in entries {
            if at.position < theirs.position {
                *at = extend(*at, entry);
            }
        }
        if at.position < theirs.position {
            effects.push(Effect::Read { stream, after: at.position });
            return Ok(());
        }
        if at != theirs {
            return Err(Ending::Refuse(RefuseCode::ChainDiffers));
        }
        let head = *at;
        self.go_on(stream, head, effects);
        Ok(())
    }

    /// The hub has what is up to here, and gets what is behind it.
    fn go_on(&mut self, stream: Stream, head: Head, effects: &mut Vec<Effect>) {
        self.mark(stream, head, effects);
        let sending = Sending { sent: head, under_way: VecDeque::new(), is_reading: false };
        *self.lanes.get_mut(stream) = Lane::Sending(sending);
        self.pump(stream, effects);
    }

    fn mark(&mut self, stream: Stream, head: Head, effects: &mut Vec<Effect>) {
        let outbox = self.kept.outboxes.get_mut(stream);
        if outbox.mark != head {
            outbox.mark = head;
            effects.push(Effect::Write(Write::Mark { stream, head }));
        }
    }

    fn read(
        &mut self,
        stream: Stream,
        after: u64,
        entries: &[Bytes],
        effects: &mut Vec<Effect>,
    ) -> Result<(), Ending> {
        let is_wanted = match self.lanes.get(stream) {
            Lane::Shut => false,
            Lane::Comparing { at, .. } => at.position == after,
            Lane::Sending(sending) => sending.is_reading && sending.sent.position == after,
        };
        if !is_wanted {
            return Ok(());
        }
        if entries.is_empty() {
            return Err(Ending::Damaged(stream));
        }
        match self.lanes.get_mut(stream) {
            Lane::Shut => Ok(()),
            Lane::Comparing { .. } => self.compare(stream, entries, effects),
            Lane::Sending(sending) => {
                let frame = sending.frame(stream, entries).ok_or(Ending::Damaged(stream))?;
                effects.push(Effect::Send(SiteFrame::Entries(frame)));
                self.pump(stream, effects);
                Ok(())
            }
        }
    }

    fn acknowledged(&mut self, it: Acknowledged, effects: &mut Vec<Effect>) -> Result<(), Ending> {
        let bad = Ending::Refuse(RefuseCode::BadFrame);
        let Lane::Sending(sending) = self.lanes.get_mut(it.stream) else { return Err(bad) };
        let found = sending.under_way.iter().position(|(head, _)| *head == it.head);
        sending.under_way.drain(..=found.ok_or(bad)?);
        self.mark(it.stream, it.head, effects);
        self.pump(it.stream, effects);
        Ok(())
    }

    /// Asks for more of a stream, where there is more and room for it.
    fn pump(&mut self, stream: Stream, effects: &mut Vec<Effect>) {
        let last = self.kept.outboxes.get(stream).last;
        let Lane::Sending(sending) = self.lanes.get_mut(stream) else { return };
        let bytes: usize = sending.under_way.iter().map(|(_, bytes)| bytes).sum();
        if !sending.is_reading && sending.sent.position < last && bytes < WINDOW_BYTES {
            sending.is_reading = true;
            effects.push(Effect::Read { stream, after: sending.sent.position });
        }
    }
}

/// The head of an edition, as it was signed.
fn head_of(signed: &Signed) -> Result<edition::Head, DocumentError> {
    edition::Head::decode(signed.head.get().as_bytes())
}

impl Sending {
    /// The next frame; nothing where an entry is no JSON.
    fn frame(&mut self, stream: Stream, entries: &[Bytes]) -> Option<Entries> {
        self.is_reading = false;
        let after = self.sent.position;
        let (mut taken, mut bytes) = (Vec::new(), 0);
        for entry in entries.iter().take(ENTRIES_MAX as usize) {
            if !taken.is_empty() && bytes + entry.len() > ENTRIES_BYTES_MAX {
                break;
            }
            let text = String::from_utf8(entry.to_vec()).ok()?;
            taken.push(RawValue::from_string(text).ok()?);
            bytes += entry.len();
            self.sent = extend(self.sent, entry);
        }
        self.under_way.push_back((self.sent, bytes));
        Some(Entries { stream, after, entries: taken, digest: self.sent.digest })
    }
}
