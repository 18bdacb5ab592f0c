//! The exchange by file, at the site: an errand of the line's own task, since what the line keeps has one
//! writer. Why it is so: ADR 16.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use base::stream::Stream;
use base::{Clock as _, IncarnationId, Timestamp, document};
use bytes::Bytes;
use gateway::Amount;
use identity::{Label, Parcel, ParcelError, ParcelWriter, Signer, Way};
use link::site::{KeepError, Line, NotTaken, Saying, Write, down, edition, up, up_entries};
use link::{pack, unpack};
use serde::{Deserialize, Serialize};
use store::{Op, Preconditions, ResourceKind, ResourceRow, Store};
use tokio::sync::oneshot;
use tokio::time::timeout;
use wire::edition::Leaf;
use wire::exchange::Down;
use wire::link::{HubFrame, RefuseCode, SiteFrame};
use wire::{ExchangeDown, ProblemCode};

use super::{LineState, MembershipError, Uplink};
use crate::refusal::Refusal;

/// There is one.
const NAME: &str = "exchange";

const EXCHANGE_TYPE: &str = "isonomy.exchanged";
const EXCHANGE_VERSION: u32 = 1;

/// How long orders of a file wait for what the same file wants to be here: a thousand workflows take
/// seconds.
const EDITION_PATIENCE: Duration = Duration::from_secs(20);

/// What the line's task is asked for, between two attempts.
pub(crate) enum Errand {
    /// A file for the hub, and whether it has all that waits.
    Export(oneshot::Sender<Result<(Vec<u8>, bool), Refusal>>),
    Import(Bytes, oneshot::Sender<Result<ExchangeDown, Refusal>>),
}

/// What is kept of files.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Exchanged {
    /// The number of the newest that was made.
    exported: u64,
    /// The newest that was taken.
    imported: Option<Imported>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Imported {
    hub: IncarnationId,
    number: u64,
    /// By the hub's clock.
    at: Timestamp,
}

impl Exchanged {
    async fn read(store: &dyn Store) -> Result<Self, Refusal> {
        let row = store.resource_get(ResourceKind::Exchange, NAME.to_owned()).await?;
        let Some(row) = row else { return Ok(Self::default()) };
        let doc = document::read(&row.record, EXCHANGE_TYPE, EXCHANGE_VERSION);
        let what = "files that were exchanged with the hub";
        Ok(doc.map_err(|error| KeepError::from(error.of(what)))?)
    }

    fn op(&self) -> Op {
        let record = document::write(EXCHANGE_TYPE, EXCHANGE_VERSION, self).into();
        let (kind, name) = (ResourceKind::Exchange, NAME.to_owned());
        Op::ResourcePut(ResourceRow { kind, name, record })
    }
}

/// Not this, and what to do.
fn refused(what: impl Into<String>) -> Refusal {
    Refusal::new(ProblemCode::ExchangeRefused, what)
}

fn of_parcel(error: &ParcelError) -> Refusal {
    match error {
        ParcelError::Another => refused(
            "it is sealed to a key that this site had before it joined anew: have the hub export again",
        ),
        error => refused(error.to_string()),
    }
}

fn of_membership(error: &MembershipError) -> Refusal {
    Refusal::new(ProblemCode::Internal, error.to_string())
}

fn unexpected() -> Refusal {
    refused(
        "it is from a program that says something else than this one: use the same version at both ends",
    )
}

/// No earlier than this, as far as files have told.
pub(super) async fn told(store: &dyn Store) -> Option<Timestamp> {
    Exchanged::read(store).await.ok()?.imported.map(|imported| imported.at)
}

impl Uplink {
    /// The line is down while this goes on, and is dialled again.
    pub(super) async fn carry(&mut self, errand: Errand) {
        let now = self.parts.clock.now();
        self.state.send_if_modified(|state| {
            let was_up = matches!(state, LineState::Up { .. });
            if was_up {
                let why = "a file is exchanged with the hub".to_owned();
                *state = LineState::Down { since: now, why };
            }
            was_up
        });
        // Whoever has asked may have gone.
        match errand {
            Errand::Export(answer) => drop(answer.send(self.export().await)),
            Errand::Import(file, answer) => drop(answer.send(self.import(file).await)),
        }
    }

    /// What an attempt that was broken off has written, it may not have told.
    async fn read_again(&mut self) -> Result<(), Refusal> {
        let (site, joined) = (self.parts.membership.site(), self.parts.membership.joined());
        self.line = Line::open(self.parts.store.as_ref(), site, joined, true).await?;
        Ok(())
    }

    async fn export(&mut self) -> Result<(Vec<u8>, bool), Refusal> {
        self.read_again().await?;
        let membership = &self.parts.membership;
        let sealing = membership.hub_sealing().ok_or_else(|| {
            refused(
                "the hub has not said what to seal to, since this site joined an older one: \
                 take a file of the hub first (`isonomy hub export`, `isonomy site import`), or let the line up once",
            )
        })?;
        let store = self.parts.store.as_ref();
        let mut kept = Exchanged::read(store).await?;
        kept.exported += 1;
        store.commit(vec![kept.op()], Preconditions::none()).await?;
        let failed = |error: ParcelError| {
            Refusal::new(ProblemCode::Internal, format!("cannot write the file: {error}"))
        };
        let line = self.line.kept(store).await?;
        let health = self.parts.saying.borrow().health.clone().unwrap_or_default();
        let up = up(&line, kept.exported, self.parts.clock.now(), health);
        let (site, root) = (membership.site().clone(), membership.root());
        let mut writer = ParcelWriter::new(Way::Up, site, root, &sealing.key).map_err(failed)?;
        writer.push(&up.encode()).map_err(failed)?;
        let mut has_room = true;
        // The small goes first.
        for stream in [Stream::Receipt, Stream::Outcome] {
            let mut at = up.streams.get(stream).after;
            // What came meanwhile goes with the next one.
            let until = *up.hello.last.get(stream);
            while let Some((entries, head)) = up_entries(store, stream, at, until).await? {
                let message = pack(&SiteFrame::Entries(entries).encode());
                has_room = has_room && writer.has_room(message.len());
                if !has_room {
                    break;
                }
                writer.push(&message).map_err(failed)?;
                at = head;
            }
        }
        let file = membership.sign(writer).map_err(failed)?;
        let amount = Amount { times: 1, bytes: file.len() as u64 };
        self.parts.left.note("hub, by file", "link/file", amount);
        Ok((file, has_room))
    }

    async fn import(&mut self, file: Bytes) -> Result<ExchangeDown, Refusal> {
        self.read_again().await?;
        let parcel = self.opened(file).await?;
        let mut messages = parcel.messages().map_err(|error| of_parcel(&error))?;
        let mut next = || messages.next().transpose().map_err(|error| of_parcel(&error));
        let cover = next()?.ok_or_else(unexpected)?;
        let cover = Down::decode(&cover).map_err(|_| unexpected())?;
        let store = Arc::clone(&self.parts.store);
        let kept = self.line.kept(store.as_ref()).await?;
        let lines = down(store.as_ref(), &kept, &cover).await.map_err(|why| not_taken(&why))?;
        let mut exchanged = Exchanged::read(store.as_ref()).await?;
        let mut taken = ExchangeDown {
            site: kept.site.to_string(),
            written_at: cover.now.to_string(),
            is_old: exchanged
                .imported
                .is_some_and(|it| it.hub == cover.incarnation && it.number >= cover.number),
            confirmed: BTreeMap::new(),
            edition: None,
            orders: 0,
        };
        if taken.is_old {
            return Ok(taken);
        }
        let said = self.parts.membership.learn_later(cover.sealing);
        said.map_err(|error| of_membership(&error))?;
        self.clock.is_past(cover.now);
        for write in lines {
            if let Write::Mark { stream, head } = &write {
                let before = kept.outboxes.get(*stream).mark.position;
                let count = head.position.saturating_sub(before);
                taken.confirmed.insert(stream.name().to_owned(), count);
            }
            self.keep(&write).await?;
        }
        while let Some(message) = next()? {
            let json = unpack(&message).map_err(|_| unexpected())?;
            let write = match HubFrame::decode(&json) {
                Ok(HubFrame::Edition(edition)) => {
                    let believed = self.parts.membership.believes(&edition);
                    believed.map_err(|error| {
                        refused(format!("its edition is not to be believed: {error}"))
                    })?;
                    match kept.is_later(&edition.signed) {
                        Ok(true) => {}
                        Ok(false) => continue,
                        Err(RefuseCode::EditionForked) => return Err(not_taken(&NotTaken::Hub)),
                        Err(_) => return Err(unexpected()),
                    }
                    let head = wire::edition::Head::decode(edition.signed.head.get().as_bytes());
                    taken.edition = head.ok().map(|head| head.number);
                    Write::Edition(edition)
                }
                Ok(HubFrame::Document(piece)) => Write::Piece(piece),
                Ok(HubFrame::Orders(_)) => continue,
                _ => return Err(unexpected()),
            };
            self.keep(&write).await?;
        }
        self.edition_is_done().await?;
        for message in parcel.messages().map_err(|error| of_parcel(&error))?.skip(1) {
            let message = message.map_err(|error| of_parcel(&error))?;
            let json = unpack(&message).map_err(|_| unexpected())?;
            if let Ok(HubFrame::Orders(orders)) = HubFrame::decode(&json) {
                taken.orders += orders.orders.len() as u64;
                self.keep(&Write::Orders(orders.orders)).await?;
            }
        }
        // Last: what was broken off is done again.
        let (hub, number, at) = (cover.incarnation, cover.number, cover.now);
        exchanged.imported = Some(Imported { hub, number, at });
        store.commit(vec![exchanged.op()], Preconditions::none()).await?;
        self.parts.came.notify_one();
        tracing::info!(?taken, "a file of the hub was taken");
        Ok(taken)
    }

    /// Until what the hub wants is here, or cannot be: what it orders is judged by that. An order for a
    /// workflow that came in the same file is not refused since it was looked at first.
    async fn edition_is_done(&mut self) -> Result<(), Refusal> {
        let Some(edition) = edition(self.parts.store.as_ref()).await? else { return Ok(()) };
        let leaf = Leaf::decode(edition.leaf.get().as_bytes());
        let Ok(content) = leaf.map(|leaf| leaf.content.digest()) else { return Ok(()) };
        self.parts.edited.notify_one();
        let mut saying = self.parts.saying.clone();
        let is_done = |said: &Saying| {
            said.health.as_ref().is_some_and(|it| it.content == Some(content) && it.waiting == 0)
        };
        // A text that did not fit into the file never comes: orders are judged without it.
        timeout(EDITION_PATIENCE, saying.wait_for(is_done)).await.ok();
        Ok(())
    }

    async fn keep(&mut self, write: &Write) -> Result<(), Refusal> {
        let ops = self.line.ops(write, self.clock.now());
        self.parts.store.commit(ops, Preconditions::none()).await?;
        self.line.wrote(write);
        Ok(())
    }

    /// A file that is for this site and of its hub.
    async fn opened(&self, file: Bytes) -> Result<Parcel, Refusal> {
        let membership = &self.parts.membership;
        let label = Label::read(&file).map_err(|error| of_parcel(&error))?.0;
        if label.way != Way::Down {
            return Err(refused(format!(
                "it is a file from the site {} for its hub: `isonomy hub import` takes it there",
                label.site
            )));
        }
        if label.root != membership.root() {
            return Err(refused("it is of another fleet: its hub has another root"));
        }
        if label.site != *membership.site() {
            return Err(refused(format!(
                "it is for the site {}, and this is {}",
                label.site,
                membership.site()
            )));
        }
        let key = membership.sealing_key();
        let open = tokio::task::spawn_blocking(move || Parcel::open(file.into(), key));
        let parcel = open.await.map_err(|_| Refusal::from(server::internal()))?;
        let parcel = parcel.map_err(|error| of_parcel(&error))?;
        if parcel.signer != Signer::Authority {
            return Err(refused("it is signed by a site, and says that it is from a hub"));
        }
        Ok(parcel)
    }
}

/// Why nothing of a hub's file is taken, in words.
fn not_taken(why: &NotTaken) -> Refusal {
    match why {
        NotTaken::Hub => refused(
            "it is of another hub of this name, or of a life of it before it was restored: have the hub that is at work now export again",
        ),
        NotTaken::Differs(stream) => refused(format!(
            "the hub has other entries of the stream {} than this site: there may be two copies of this site, or it was set back; \
             stop all copies but one, and join that one anew with a token made by `isonomy hub token create --replace`",
            stream.name()
        )),
        NotTaken::Bad => unexpected(),
        NotTaken::Keep(error) => Refusal::new(ProblemCode::StoreFailed, error.to_string()),
    }
}
