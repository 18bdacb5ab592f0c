//! Files to and from the hub, at the site. Why it is so: ADR 16.

use base::Timestamp;
use base::stream::{Head, PerStream, Stream};
use serde_json::value::RawValue;
use store::Store;
use wire::exchange::{Begins, Down, Up};
use wire::link::{Entries, Health};

use super::{KeepError, Kept, Outbox, Write, read};
use crate::{COUNT_MAX, extend};

/// Why nothing of a hub's file is taken.
#[derive(Debug, thiserror::Error)]
pub enum NotTaken {
    /// Two hubs have one name, or it is of an earlier life of the hub.
    #[error("it is of another hub")]
    Hub,
    /// The hub has entries that this site does not have, or others in their place.
    #[error("the hub has other entries of the stream {}", .0.name())]
    Differs(Stream),
    #[error("it says what no hub says")]
    Bad,
    #[error(transparent)]
    Keep(#[from] KeepError),
}

/// What stands first in a file for the hub. Its entries begin where the hub is, as far as is known.
#[must_use]
pub fn up(kept: &Kept, number: u64, at: Timestamp, health: Health) -> Up {
    let begins = |stream| {
        let Outbox { base, mark, .. } = *kept.outboxes.get(stream);
        Begins { after: mark, base: base.position }
    };
    Up { hello: kept.hello(), number, at, streams: PerStream::of(begins), health }
}

/// The entries behind `at` that go next, none behind `until`, and where they end; nothing where there are none.
pub async fn up_entries(
    store: &dyn Store,
    stream: Stream,
    at: Head,
    until: u64,
) -> Result<Option<(Entries, Head)>, KeepError> {
    let page = read(store, stream, at.position).await?;
    let (mut entries, mut head) = (Vec::new(), at);
    let left = usize::try_from(until.saturating_sub(at.position)).unwrap_or(usize::MAX);
    for entry in page.into_iter().take(left) {
        head = extend(head, &entry);
        let text = String::from_utf8(entry.to_vec()).map_err(|_| KeepError::Gap(stream))?;
        entries.push(RawValue::from_string(text).map_err(|_| KeepError::Gap(stream))?);
    }
    let frame = Entries { stream, after: at.position, entries, digest: head.digest };
    Ok(Some((frame, head)).filter(|_| head != at))
}

/// What is to be written for what a hub's file says of the line. The line must be down.
pub async fn down(store: &dyn Store, kept: &Kept, down: &Down) -> Result<Vec<Write>, NotTaken> {
    if !kept.knows(down.incarnation, &down.before) {
        return Err(NotTaken::Hub);
    }
    let positions = Stream::ALL.map(|stream| down.heads.get(stream).map_or(0, |it| it.position));
    if down.number >= COUNT_MAX || positions.iter().any(|position| *position >= COUNT_MAX) {
        return Err(NotTaken::Bad);
    }
    // A hub in a life that this site has not heard of may have less than it had.
    let is_new = kept.hub.is_some_and(|hub| hub != down.incarnation);
    let session = kept.session;
    let mut writes = vec![Write::Session { session, hub: down.incarnation }];
    for stream in Stream::ALL {
        // What the hub has is of another life of this site: the next file tells it of this one.
        let is_of_this = down.site == Some(kept.incarnation);
        let theirs = down.heads.get(stream).filter(|_| is_of_this);
        match settle(store, stream, *kept.outboxes.get(stream), theirs, is_new).await? {
            Settled::Stays => {}
            Settled::Moves(head) => writes.push(Write::Mark { stream, head }),
            Settled::Differs => return Err(NotTaken::Differs(stream)),
        }
    }
    Ok(writes)
}

enum Settled {
    Stays,
    Moves(Head),
    Differs,
}

/// Compares what the hub has with the site's own chain.
async fn settle(
    store: &dyn Store,
    stream: Stream,
    outbox: Outbox,
    theirs: Option<Head>,
    is_new: bool,
) -> Result<Settled, KeepError> {
    let Outbox { base, mark, last } = outbox;
    let Some(theirs) = theirs.filter(|it| it.position >= base.position) else {
        // The hub has nothing that can be gone on from: all that is held is sent again.
        let is_set_back = is_new && mark != base;
        return Ok(if is_set_back { Settled::Moves(base) } else { Settled::Stays });
    };
    if theirs.position > last {
        return Ok(Settled::Differs);
    }
    let mut at = if theirs.position >= mark.position { mark } else { base };
    while at.position < theirs.position {
        let page = read(store, stream, at.position).await?;
        if page.is_empty() {
            return Err(KeepError::Gap(stream));
        }
        for entry in page {
            if at.position < theirs.position {
                at = extend(at, &entry);
            }
        }
    }
    Ok(if at != theirs {
        Settled::Differs
    } else if theirs.position > mark.position || (is_new && theirs != mark) {
        Settled::Moves(theirs)
    } else {
        Settled::Stays
    })
}
