//! The exchange by file, at the hub: what a site would have said is judged at the same desk, and what the
//! hub would have said is written down. Why it is so: ADR 16.

use std::collections::BTreeMap;
use std::sync::Arc;

use base::stream::Stream;
use base::{SiteName, Timestamp};
use bytes::Bytes;
use identity::{Parcel, ParcelError, ParcelWriter, SealingKey, SealingPublic, Signer, Way};
use link::hub::{Input, NotCarried, Suspicion, pages};
use link::{pack, unpack};
use serde_json::value::RawValue;
use server::Refusal;
use wire::exchange::{Down, Up};
use wire::join::HubSealingSaid;
use wire::link::{Document, HubFrame, Order, Orders, RefusedCode, SiteFrame, Want};
use wire::{ExchangeUp, ProblemCode};

use crate::Hub;
use crate::desk::DeskError;
use crate::site::SiteDoc;

/// Orders that are read at once.
const PAGE: u32 = 100;

/// What opens files for the hub, and that one is taken at a time: each is held in memory.
pub(crate) struct Exchange {
    pub(crate) key: Arc<SealingKey>,
    taking: tokio::sync::Semaphore,
}

impl Exchange {
    pub(crate) fn new(key: SealingKey) -> Self {
        Self { key: Arc::new(key), taking: tokio::sync::Semaphore::new(1) }
    }
}

/// Not this, and what to do.
fn refused(what: impl Into<String>) -> Refusal {
    Refusal::new(ProblemCode::ExchangeRefused, what)
}

fn of_parcel(error: &ParcelError) -> Refusal {
    match error {
        ParcelError::Another => refused(
            "it is sealed to a key that this hub does not have: take a file of this hub to the site \
             first (`isonomy hub export`, `isonomy site import`), and have it export again",
        ),
        error => refused(error.to_string()),
    }
}

impl Hub {
    /// Takes what a site has written into a file: all of it, or what its chain allows.
    pub(crate) async fn exchange_import(&self, bytes: Bytes) -> Result<ExchangeUp, Refusal> {
        let _alone = self.0.exchange.taking.try_acquire().map_err(|_| {
            Refusal::new(ProblemCode::Overloaded, "another file is being taken; wait for its end")
        })?;
        let label = identity::Label::read(&bytes).map_err(|error| of_parcel(&error))?.0;
        if label.way != Way::Up {
            return Err(refused(format!(
                "it is a file from a hub for the site {}: `isonomy site import` takes it there",
                label.site
            )));
        }
        if label.root != self.0.root {
            return Err(refused("it is of another fleet: its hub has another root"));
        }
        let key = Arc::clone(&self.0.exchange.key);
        let open = tokio::task::spawn_blocking(move || Parcel::open(bytes.into(), key));
        let parcel = open.await.map_err(|_| server::internal())?;
        self.exchange_take(&parcel.map_err(|error| of_parcel(&error))?).await
    }

    async fn exchange_take(&self, parcel: &Parcel) -> Result<ExchangeUp, Refusal> {
        let site = &parcel.label.site;
        let Signer::Key(signer) = &parcel.signer else {
            return Err(refused("it is signed by a hub, and says that it is from a site"));
        };
        let signer = signer.pin();
        let mut messages = parcel.messages().map_err(|error| of_parcel(&error))?;
        let mut next = || messages.next().transpose().map_err(|error| of_parcel(&error));
        let cover = next()?.ok_or_else(unexpected)?;
        let up = Up::decode(&cover).map_err(|_| unexpected())?;
        let written_at = up.at;
        if let Some(edition) = &up.hello.edition {
            self.desks().shown(site, edition).await.map_err(|error| of_desk(site, error))?;
        }
        let carry = async |input| {
            let told = self
                .desks()
                .carry(site, signer, input)
                .await
                .map_err(|error| of_desk(site, error))?;
            told.transpose().map_err(|why| not_carried(site, why, written_at))
        };
        carry(Input::Carried(Box::new(up))).await?;
        while let Some(message) = next()? {
            let json = unpack(&message).map_err(|_| unexpected())?;
            let Ok(SiteFrame::Entries(entries)) = SiteFrame::decode(&json) else {
                return Err(unexpected());
            };
            carry(Input::CarriedEntries(entries)).await?;
        }
        let carried = carry(Input::CarriedEnd).await?.ok_or_else(|| {
            refused("somebody else was at this site's desk meanwhile: import the file again")
        })?;
        let taken = Stream::ALL.map(|it| (it.name().to_owned(), *carried.taken.get(it)));
        tracing::info!(%site, ?carried, "a file of a site was taken");
        Ok(ExchangeUp {
            site: site.to_string(),
            written_at: written_at.to_string(),
            taken: BTreeMap::from(taken),
        })
    }

    /// Writes what this site is told into a file that the site alone reads.
    /// Gives whether it is all that there is.
    pub(crate) async fn exchange_export(&self, site: SiteName) -> Result<(Vec<u8>, bool), Refusal> {
        let doc = self.desks().site_doc(&site).await?;
        let doc = doc.ok_or_else(|| DeskError::Unknown(site.clone()))?;
        let to = sealing(&site, &doc)?;
        let is_recovering = self.0.recovery.is_on();
        let (number, seat) = self.desks().export(&site).await?;
        if seat.quarantine.is_some() {
            return Err(quarantined(&site));
        }
        let failed = |error: ParcelError| {
            Refusal::new(ProblemCode::Internal, format!("cannot write the file: {error}"))
        };
        let root = self.0.root;
        let mut writer = ParcelWriter::new(Way::Down, site.clone(), root, &to).map_err(failed)?;
        let down = Down {
            incarnation: self.0.store.incarnation(),
            before: self.desks().before().to_vec(),
            number,
            now: self.now(),
            site: seat.present.map(|present| present.incarnation),
            heads: seat.present.map(|present| present.heads).unwrap_or_default(),
            sealing: self.sealing_said(),
        };
        writer.push(&down.encode()).map_err(failed)?;
        let mut push = |frame: &HubFrame| {
            let message = pack(&frame.encode());
            let has_room = writer.has_room(message.len());
            if has_room { writer.push(&message).map_err(failed).map(|()| true) } else { Ok(false) }
        };
        // The small goes first: an order for a workflow that is not there yet waits until it is.
        let mut has_room = true;
        if let Some(edition) = self.0.editions.of(&site) {
            has_room = push(&HubFrame::Edition(edition))?;
        }
        let mut after = 0;
        // A hub that recovers takes, and gives no order.
        while has_room && !is_recovering {
            let rows = self.0.store.order_open(site.clone(), after, PAGE).await?;
            let Some(last) = rows.last() else { break };
            after = last.position;
            let order = |row: &store::OrderRow| {
                let text = String::from_utf8(row.body.to_vec()).ok()?;
                Some(Order { id: row.order, order: RawValue::from_string(text).ok()? })
            };
            for orders in pages(rows.iter().filter_map(order).collect()) {
                has_room = has_room && push(&HubFrame::Orders(Orders { orders }))?;
            }
        }
        let content = self.0.editions.content(&site).map(|(_, content)| content);
        for placed in content.into_iter().flat_map(|content| content.workflows) {
            let mut want = Some(Want { text: placed.text, offset: 0 });
            while let Some(asked) = want.take().filter(|_| has_room) {
                let Some(piece) = self.0.editions.piece(&site, asked).await? else { break };
                let Document { text, offset, total, .. } = piece;
                let offset = offset + piece.piece.len() as u64;
                want = (offset < total).then_some(Want { text, offset });
                has_room = push(&HubFrame::Document(piece))?;
            }
        }
        Ok((writer.sign_by_authority(&self.authority()).map_err(failed)?, has_room))
    }

    fn sealing_said(&self) -> HubSealingSaid {
        let said = self.signing().sealing.clone();
        let (key, at) = (said.key.to_string(), said.at);
        HubSealingSaid { key, at, signature: said.signature, chain: said.chain }
    }
}

/// What is sealed to this site is sealed to this key.
fn sealing(site: &SiteName, doc: &SiteDoc) -> Result<SealingPublic, Refusal> {
    if doc.revoked_at.is_some() {
        return Err(DeskError::Revoked(site.clone()).into());
    }
    if !doc.is_member() {
        return Err(refused(format!(
            "nobody has joined as the site {site} yet: it needs a line to this hub once, for `isonomy site join`"
        )));
    }
    let word = doc.sealing.as_ref().ok_or_else(|| {
        refused(format!(
            "the site {site} has not said what to seal to, since it joined with an older program: \
             it needs a line to this hub once, with a program as new as this one"
        ))
    })?;
    Ok(word.key)
}

fn quarantined(site: &SiteName) -> Refusal {
    refused(format!(
        "the site {site} is in quarantine, and nothing is taken of it nor told to it: \
         `isonomy sites show {site}` says why, and the way out"
    ))
}

fn unexpected() -> Refusal {
    refused(
        "it is from a program that says something else than this one: use the same version at both ends",
    )
}

fn of_desk(site: &SiteName, error: DeskError) -> Refusal {
    match error {
        DeskError::Unknown(_) => {
            refused(format!("this hub knows no site {site}: `isonomy sites list` shows the fleet"))
        }
        DeskError::Revoked(_) => refused(format!(
            "the site {site} was revoked, and nothing of it is taken: a token made with `--replace` brings it back"
        )),
        DeskError::Replaced => refused(format!(
            "it is signed by a machine that is not the site {site} any more, since another one has joined in its place"
        )),
        error => error.into(),
    }
}

/// Why nothing more of a file is taken, in words.
fn not_carried(site: &SiteName, why: NotCarried, written_at: Timestamp) -> Refusal {
    let copies = "stop all copies of the site but one, and join that one anew with a token made by \
                  `isonomy hub token create --replace`";
    refused(match why {
        NotCarried::Refused(RefusedCode::Quarantined) => return quarantined(site),
        NotCarried::Refused(RefusedCode::RetiredIncarnation) => format!(
            "it is of a life of the site {site} that is over: another copy, restored or joined later, is the site now"
        ),
        NotCarried::Refused(code) => format!("it is refused as the line would be: {code:?}"),
        NotCarried::Doubt(Suspicion::Unrelated) => format!(
            "it is of {written_at}, of a store that is not the one that was the site {site}, nor restored from it: {copies}"
        ),
        NotCarried::Doubt(_) => format!(
            "what it holds, of {written_at}, is not what the site {site} has sent before: there may be two copies of the site, or it was set back; {copies}"
        ),
        NotCarried::Gap(_) => format!(
            "it begins behind what this hub has, since the hub was set back: take a new file of this hub to the site first \
             (`isonomy hub export --site {site} FILE`), and have it export again"
        ),
        NotCarried::Online => format!(
            "the site {site} is online, as another life of its store than this file is of: nothing of the file is needed where that one is the site"
        ),
        NotCarried::Bad => return unexpected(),
    })
}
