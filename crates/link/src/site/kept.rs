//! What a site keeps of its line, in the words of the store.
//!
//! The session knows nothing of rows: here its writes become ops, and rows become what it begins with.

use base::stream::{PerStream, Stream};
use base::{Digest, Duration, IncarnationId, SiteName, Timestamp, Unreadable, document};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use store::{
    CommitError, Op, OrderRow, OutboxRow, Preconditions, ResourceKind, ResourceRow, Store,
    StoreError, resource_all,
};
use wire::link::{Ancestor, Document, Edition};

use super::{Kept, Outbox, Write};
use crate::{
    ANCESTORS_MAX, ENTRIES_BYTES_MAX, ENTRIES_MAX, ORDER_LIFE_MAX, ORDERS_READ_MAX, begin, extend,
};

/// What a site knows of its hub. Described in `docs/spec/link.md`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    pub site: SiteName,
    pub incarnation: IncarnationId,
    /// The joining that this comes from: another one begins anew.
    joined: IncarnationId,
    /// The life of the store in which the incarnation began. In another one it has been restored.
    store: IncarnationId,
    /// From the one before back, as far as a hub that was set back may know one of them.
    ancestors: Vec<Ancestor>,
    session: u64,
    hub: Option<IncarnationId>,
}

const LINE_TYPE: &str = "isonomy.line";
const LINE_VERSION: u32 = 1;

/// There is one.
const EDITION: &str = "edition";

/// The same, for people.
const LINE: &str = "the line to the hub";

#[derive(Debug, thiserror::Error)]
pub enum KeepError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Commit(#[from] CommitError),
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    #[error("an entry of the stream {} is not where it should be", .0.name())]
    Gap(Stream),
}

impl Line {
    /// The line of the site that has joined as `joined`, which is its incarnation until it is restored.
    /// What happened before the first joining is not told to a hub that did not ask for it.
    ///
    /// `has_begun` says that it was open before: a store that knows nothing of it is another one.
    pub async fn open(
        store: &dyn Store,
        site: &SiteName,
        joined: IncarnationId,
        has_begun: bool,
    ) -> Result<Self, KeepError> {
        if let Some(mut line) = Self::kept_line(store).await?.filter(|line| line.joined == joined) {
            if line.store != store.incarnation() {
                line.renew(store).await?;
            }
            return Ok(line);
        }
        let mut line = Self {
            site: site.clone(),
            incarnation: joined,
            joined,
            store: store.incarnation(),
            ancestors: Vec::new(),
            session: 0,
            hub: None,
        };
        if has_begun {
            line.renew(store).await?;
        } else {
            line.begin_again(store).await?;
        }
        Ok(line)
    }

    /// The life of the hub that has granted the newest session.
    #[must_use]
    pub const fn hub(&self) -> Option<IncarnationId> {
        self.hub
    }

    async fn kept_line(store: &dyn Store) -> Result<Option<Self>, KeepError> {
        let Some(bytes) = store.link_get().await? else { return Ok(None) };
        let line = document::read(&bytes, LINE_TYPE, LINE_VERSION);
        Ok(Some(line.map_err(|error| error.of(LINE))?))
    }

    async fn renew(&mut self, store: &dyn Store) -> Result<(), KeepError> {
        let mut last = PerStream::default();
        for stream in Stream::ALL {
            *last.get_mut(stream) = store.outbox_last(stream).await?;
        }
        self.ancestors.insert(0, Ancestor { incarnation: self.incarnation, last });
        self.ancestors.truncate(ANCESTORS_MAX);
        (self.incarnation, self.store) = (store.incarnation(), store.incarnation());
        self.session = 0;
        self.begin_again(store).await
    }

    /// The chains of an incarnation begin where the entries do that it still holds.
    async fn begin_again(&self, store: &dyn Store) -> Result<(), KeepError> {
        let mut ops = vec![self.op()];
        for stream in Stream::ALL {
            let position = match store.outbox_get(stream).await? {
                Some(outbox) => outbox.base.position,
                None => store.outbox_last(stream).await?,
            };
            let base = begin(self.incarnation, stream, position);
            ops.push(Op::OutboxPut(OutboxRow { stream, base, mark: base }));
        }
        store.commit(ops, Preconditions::none()).await?;
        Ok(())
    }

    fn op(&self) -> Op {
        Op::LinkPut { link: document::write(LINE_TYPE, LINE_VERSION, self).into() }
    }

    /// What a session begins with.
    pub async fn kept(&self, store: &dyn Store) -> Result<Kept, KeepError> {
        let outbox = async |stream| -> Result<Outbox, KeepError> {
            let missing = || Unreadable::Damaged { what: LINE.to_owned() };
            let row = store.outbox_get(stream).await?.ok_or_else(missing)?;
            let last = store.outbox_last(stream).await?;
            Ok(Outbox { base: row.base, mark: row.mark, last })
        };
        Ok(Kept {
            site: self.site.clone(),
            incarnation: self.incarnation,
            ancestors: self.ancestors.clone(),
            session: self.session,
            hub: self.hub,
            outboxes: PerStream {
                outcome: outbox(Stream::Outcome).await?,
                receipt: outbox(Stream::Receipt).await?,
            },
            edition: edition(store).await?.map(|edition| edition.signed),
        })
    }

    /// What is to be committed for a write of the session, at `now` by the hub's clock.
    #[must_use]
    pub fn ops(&self, write: &Write, now: Timestamp) -> Vec<Op> {
        match write {
            Write::Session { .. } => {
                let mut next = self.clone();
                next.wrote(write);
                vec![next.op()]
            }
            Write::Mark { stream, head } => {
                vec![Op::OutboxMark { stream: *stream, mark: *head }]
            }
            Write::Orders(orders) => {
                let row = |order: &wire::link::Order| OrderRow {
                    position: 0,
                    order: order.id,
                    site: self.site.clone(),
                    at: now,
                    until: until(&order.order, now),
                    request: None,
                    body: Bytes::copy_from_slice(order.order.get().as_bytes()),
                    closed_at: None,
                };
                orders.iter().map(|order| Op::OrderPut(row(order))).collect()
            }
            Write::Edition(edition) => vec![edition_op(edition)],
            Write::Piece(piece) => vec![piece_op(piece)],
        }
    }
}

impl Line {
    /// It is durable, and not before.
    pub fn wrote(&mut self, write: &Write) {
        if let Write::Session { session, hub } = write {
            (self.session, self.hub) = (*session, Some(*hub));
        }
    }
}

/// What the hub has said should be here.
pub async fn edition(store: &dyn Store) -> Result<Option<Edition>, KeepError> {
    let row = store.resource_get(ResourceKind::Edition, EDITION.to_owned()).await?;
    let Some(row) = row else { return Ok(None) };
    let damaged = |_| Unreadable::Damaged { what: "the hub's edition".to_owned() };
    Ok(Some(serde_json::from_slice(&row.record).map_err(damaged)?))
}

/// What is to be committed where the edition that is here is of another hub, or for another site: what that
/// one has ordered is nothing to this one either.
pub async fn edition_forget(store: &dyn Store) -> Result<Vec<Op>, KeepError> {
    let mut ops = orders_forget(store).await?;
    ops.push(Op::ResourceDelete { kind: ResourceKind::Edition, name: EDITION.to_owned() });
    Ok(ops)
}

/// Orders that nobody has judged.
async fn orders_forget(store: &dyn Store) -> Result<Vec<Op>, KeepError> {
    let Some(Line { site, .. }) = Line::kept_line(store).await? else { return Ok(Vec::new()) };
    let (mut ops, mut after) = (Vec::new(), 0);
    loop {
        let page = store.order_open(site.clone(), after, ORDERS_READ_MAX).await?;
        ops.extend(page.iter().map(|row| Op::OrderForget { order: row.order }));
        match page.last() {
            Some(last) => after = last.position,
            None => return Ok(ops),
        }
    }
}

/// What is to be committed where the owner has ended it: what the hub has not taken is for nobody else, what
/// it has ordered and nobody has begun is nothing to the next one, and its workflows are the site's own from
/// now on.
pub async fn left(store: &dyn Store) -> Result<Vec<Op>, KeepError> {
    let mut ops = orders_forget(store).await?;
    if let Some(line) = Line::kept_line(store).await? {
        for stream in Stream::ALL {
            let last = store.outbox_last(stream).await?;
            let base = begin(line.incarnation, stream, last);
            ops.push(Op::OutboxPut(OutboxRow { stream, base, mark: base }));
        }
    }
    let of_the_hub =
        [ResourceKind::Edition, ResourceKind::Piece, ResourceKind::Text, ResourceKind::Managed];
    for kind in of_the_hub {
        for row in resource_all(store, kind).await? {
            ops.push(Op::ResourceDelete { kind, name: row.name });
        }
    }
    Ok(ops)
}

fn edition_op(edition: &Edition) -> Op {
    let record = serde_json::to_vec(edition).expect("our own types have JSON text").into();
    let (kind, name) = (ResourceKind::Edition, EDITION.to_owned());
    Op::ResourcePut(ResourceRow { kind, name, record })
}

/// Of a text that is on its way.
fn piece_op(piece: &Document) -> Op {
    let (kind, name) = (ResourceKind::Piece, piece_name(&piece.text, piece.offset));
    let record = serde_json::to_vec(piece).expect("our own types have JSON text").into();
    Op::ResourcePut(ResourceRow { kind, name, record })
}

/// Pieces of a text lie in their order.
#[must_use]
pub fn piece_name(text: &Digest, offset: u64) -> String {
    format!("{text} {offset:016x}")
}

/// An order that does not say how long it is good for, or says too much, is judged all the same.
fn until(order: &RawValue, now: Timestamp) -> Timestamp {
    #[derive(Deserialize)]
    struct Until {
        until: Timestamp,
    }
    let most = now.plus(ORDER_LIFE_MAX);
    serde_json::from_str(order.get()).map_or(most, |Until { until }| until.min(most))
}

/// Entries behind `after`: as many as one frame holds, or all there are.
pub async fn read(store: &dyn Store, stream: Stream, after: u64) -> Result<Vec<Bytes>, KeepError> {
    let page = entries(store, stream, after).await?;
    let (mut read, mut bytes) = (Vec::new(), 0);
    for (position, (found, _, entry)) in (after + 1..).zip(page) {
        if found != position {
            return Err(KeepError::Gap(stream));
        }
        bytes += entry.len();
        if !read.is_empty() && bytes > ENTRIES_BYTES_MAX {
            break;
        }
        read.push(entry);
    }
    Ok(read)
}

/// A page of what is behind `after`, with where it is and when it was made.
async fn entries(
    store: &dyn Store,
    stream: Stream,
    after: u64,
) -> Result<Vec<(u64, Timestamp, Bytes)>, StoreError> {
    Ok(match stream {
        Stream::Outcome => {
            let rows = store.outcome_list(after, ENTRIES_MAX).await?;
            rows.into_iter().map(|row| (row.position, row.at, row.outcome)).collect()
        }
        Stream::Receipt => {
            let rows = store.receipt_list(after, ENTRIES_MAX).await?;
            rows.into_iter().map(|row| (row.position, row.at, row.receipt)).collect()
        }
    })
}

/// Lets a page of entries go that the hub has and that were made before `before`. Gives whether there
/// may be more of them.
pub async fn prune(
    store: &dyn Store,
    stream: Stream,
    before: Timestamp,
) -> Result<bool, KeepError> {
    let Some(OutboxRow { base, mark, .. }) = store.outbox_get(stream).await? else {
        return Ok(false);
    };
    let mut head = base;
    let page = entries(store, stream, base.position).await?;
    let is_whole = page.len() == ENTRIES_MAX as usize;
    for (_, at, entry) in page {
        if at >= before || head.position >= mark.position {
            break;
        }
        head = extend(head, &entry);
    }
    if head != base {
        let forget = Op::OutboxForget { stream, base: head };
        store.commit(vec![forget], Preconditions::none()).await?;
    }
    Ok(is_whole && head.position == base.position + u64::from(ENTRIES_MAX))
}

/// How long entries stay that the hub has: for a hub that is restored from a backup.
pub const KEPT_FOR_A_HUB: Duration = Duration::from_secs(7 * 24 * 3600);
