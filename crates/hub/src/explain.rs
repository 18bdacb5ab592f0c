//! Why an order was given, which sites were meant, and what has come back.
//!
//! What was decided when it was asked for is in its [request](crate::request); here it meets what the hub
//! has heard since.

use base::stream::Stream;
use base::{By, OrderId};
use bytes::Bytes;
use link::hub::outcome_key;
use server::{Refusal, Roles};
use store::{EntryRow, OrderRow};
use wire::order::Order;
use wire::{LeftField, LeftView, OrderExplained};

use crate::Hub;
use crate::fleet::Presence;
use crate::order::{ENDS_MAX, run_of};
use crate::request::Request;

/// Orders of the same request that are shown beside one: `isonomy orders list --request` shows all.
const ORDERS_SHOWN_MAX: usize = 100;

/// Ends of a run that are shown, the newest: each but the first is a retry by a person.
const ENDS_SHOWN_MAX: usize = 20;

impl Hub {
    pub(crate) async fn order_explain(
        &self,
        order: OrderId,
        roles: &Roles,
    ) -> Result<OrderExplained, Refusal> {
        let row = self.order_find(order, roles).await?;
        let Presence { state: site_state, since, .. } = self.presence(&row.site).await?;
        let by = Order::decode(&row.body).ok().map(|Order { by: By { actor, reason }, .. }| {
            // The site is told so, too.
            wire::By { actor, reason }
        });
        let (request, orders) = match row.request {
            None => (None, vec![row.clone()]),
            Some(request) => {
                let found = Request::find(self.0.store.as_ref(), request).await?;
                let rows = self.request_rows(request, ORDERS_SHOWN_MAX).await?;
                (found.map(|found| found.view(request)), rows)
            }
        };
        Ok(OrderExplained {
            order: self.order_view(&row).await?,
            by,
            bytes: row.body.len() as u64,
            site_state,
            site_since: since.map(|since| since.to_string()),
            request,
            left: self.left(&row).await?.iter().map(left_view).collect(),
            orders: self.order_views(&orders).await?,
        })
    }

    /// What the site has sent of an order, as it came: its receipt, and ends of the run.
    async fn left(&self, row: &OrderRow) -> Result<Vec<EntryRow>, Refusal> {
        let get = |stream, key| self.0.store.entry_get(row.site.clone(), stream, key);
        let key = Bytes::copy_from_slice(row.order.as_uuid().as_bytes());
        let mut left: Vec<EntryRow> = get(Stream::Receipt, key).await?.into_iter().collect();
        let mut ends = Vec::new();
        for number in 1..=ENDS_MAX {
            let Some(entry) = get(Stream::Outcome, outcome_key(run_of(row.order), number)).await?
            else {
                break;
            };
            ends.push(entry);
        }
        let surplus = ends.len().saturating_sub(ENDS_SHOWN_MAX);
        left.extend(ends.drain(surplus..));
        Ok(left)
    }
}

fn left_view(row: &EntryRow) -> LeftView {
    LeftView {
        stream: row.stream.name().to_owned(),
        position: None,
        at: row.at.to_string(),
        bytes: row.entry.len() as u64,
        acknowledged: None,
        fields: LeftField::all_of(&row.entry),
    }
}
