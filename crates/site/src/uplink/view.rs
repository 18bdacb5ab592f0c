//! How the line is, for whoever asks.

use std::collections::BTreeMap;

use base::IncarnationId;
use base::stream::Stream;
use store::{Store, StoreError};
use tokio::sync::watch;
use wire::HubLine;

use super::{LineState, Uplink};

/// The line, seen from elsewhere in the site.
#[derive(Debug, Clone)]
pub(crate) struct Watch {
    incarnation: IncarnationId,
    addresses: Vec<String>,
    state: watch::Receiver<LineState>,
}

impl Uplink {
    pub(crate) fn watch(&self) -> Watch {
        Watch {
            incarnation: self.line.incarnation,
            addresses: self.parts.membership.hubs().to_vec(),
            state: self.state(),
        }
    }
}

impl Watch {
    /// Asks nobody but the store: what it says is so with the line down as well.
    pub(crate) async fn view(&self, store: &dyn Store) -> Result<HubLine, StoreError> {
        let waiting = waiting(store).await?;
        let (state, since, why) = match self.state.borrow().clone() {
            LineState::Up { since, .. } => ("up", since, None),
            LineState::Down { since, why } => ("down", since, Some(why)),
        };
        Ok(HubLine {
            incarnation: self.incarnation.to_string(),
            addresses: self.addresses.clone(),
            state: state.to_owned(),
            since: since.to_string(),
            why,
            waiting,
            desired: None,
        })
    }
}

/// Entries that the hub has not confirmed, by stream.
pub(super) async fn waiting(store: &dyn Store) -> Result<BTreeMap<String, u64>, StoreError> {
    let mut waiting = BTreeMap::new();
    for stream in Stream::ALL {
        let last = store.outbox_last(stream).await?;
        let confirmed = store.outbox_get(stream).await?.map_or(last, |row| row.mark.position);
        waiting.insert(stream.name().to_owned(), last.saturating_sub(confirmed));
    }
    Ok(waiting)
}
