//! Forgetting: requests and their orders go when all of them have been over for long enough, and each order by
//! which a site has another one work for itself.
//!
//! A reconciler: it looks at what was asked for, in small steps with a rest after each. What sites have sent,
//! receipts and outcomes, stays as it came.

use std::time::Duration as Pause;

use base::{Duration, RequestId, Timestamp};
use server::Refusal;
use store::{Op, OrderRow, Preconditions, ResourceKind};
use wire::OrderState;
use wire::order::Order;

use crate::Hub;
use crate::order::Presences;
use crate::request::Request;

/// How long a request and its orders are kept after the last of them is over: a month in which one can ask
/// why. As long as that, asking with its id again is harmless.
const KEPT: Duration = Duration::from_secs(30 * 24 * 3600);

/// Between two looks: an order that stays an hour longer hurts nobody.
const LOOK_EVERY: Pause = Pause::from_secs(3600);

/// Requests, or orders of none, that are read at once.
const PAGE: u32 = 100;

/// Orders that are forgotten in one step: a few milliseconds of the writer's time.
const ORDERS_PAGE: usize = 100;

/// After each step: whoever gives orders goes first.
const REST: Pause = Pause::from_millis(20);

pub(crate) async fn keep(hub: &Hub) {
    loop {
        match hub.orders_forget().await {
            Ok(0) => {}
            Ok(count) => tracing::info!(count, "forgot orders that are long over"),
            Err(refusal) => tracing::error!(%refusal, "cannot forget orders that are long over"),
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

impl Hub {
    /// Forgets all that is due, and gives the number of orders.
    async fn orders_forget(&self) -> Result<usize, Refusal> {
        Ok(self.asked_forget().await? + self.unasked_forget().await?)
    }

    /// Orders by which sites have each other work: there is no request that they go with.
    async fn unasked_forget(&self) -> Result<usize, Refusal> {
        let until = self.now().minus(KEPT);
        let (mut count, mut after) = (0, None);
        loop {
            let page = self.0.store.order_unasked(until, after.take(), PAGE).await?;
            let mut seen = Presences::new();
            let mut ops = Vec::new();
            for row in &page {
                // One that this version cannot read is not its to forget.
                let Ok(order) = Order::decode(&row.body) else { continue };
                let over = match order.act.run(&row.site) {
                    Some(_) => {
                        let (view, heard_at) = self.order_heard(row, &mut seen).await?;
                        over_since(row, view.state, heard_at)
                    }
                    // Word of other sites: when its time is over, nobody waits for it any more.
                    None => Some(row.until),
                };
                if over.is_some_and(|over| is_past(over, self.now())) {
                    ops.push(Op::OrderForget { order: row.order });
                }
            }
            if !ops.is_empty() {
                count += ops.len();
                self.0.store.commit(ops, Preconditions::none()).await?;
            }
            if page.len() < PAGE as usize {
                return Ok(count);
            }
            after = page.last().map(|row| (row.until, row.position));
            tokio::time::sleep(REST).await;
        }
    }

    async fn asked_forget(&self) -> Result<usize, Refusal> {
        let (mut count, mut after) = (0, None);
        loop {
            let kind = ResourceKind::Request;
            let page = self.0.store.resource_list(kind, after.take(), PAGE).await?;
            for row in &page {
                let Ok(request) = row.name.parse::<RequestId>() else { continue };
                // One that this version cannot read is not its to forget.
                let Ok(Request { at, .. }) = Request::read(row) else { continue };
                if is_past(at, self.now()) {
                    count += self.request_forget(request).await?;
                }
            }
            if page.len() < PAGE as usize {
                return Ok(count);
            }
            after = page.last().map(|row| row.name.clone());
            tokio::time::sleep(REST).await;
        }
    }

    /// Forgets a request and its orders, if all have been over for long enough. Where that breaks off, the
    /// request is still there, and the next look goes on.
    async fn request_forget(&self, request: RequestId) -> Result<usize, Refusal> {
        let rows = self.request_rows(request, usize::MAX).await?;
        let mut seen = Presences::new();
        for row in &rows {
            let (view, heard_at) = self.order_heard(row, &mut seen).await?;
            let over = over_since(row, view.state, heard_at);
            if !over.is_some_and(|over| is_past(over, self.now())) {
                return Ok(0);
            }
        }
        for part in rows.chunks(ORDERS_PAGE) {
            let ops = part.iter().map(|row| Op::OrderForget { order: row.order }).collect();
            self.0.store.commit(ops, Preconditions::none()).await?;
            tokio::time::sleep(REST).await;
        }
        self.0.store.commit(vec![Request::delete(request)], Preconditions::none()).await?;
        Ok(rows.len())
    }
}

fn is_past(at: Timestamp, now: Timestamp) -> bool {
    now > at.plus(KEPT)
}

/// Since when nothing more was to be expected of an order, by the hub's time. One that nobody has answered is
/// past when its time is, though its site was never heard again; one that was taken stays until its run ends.
fn over_since(row: &OrderRow, state: OrderState, heard_at: Option<Timestamp>) -> Option<Timestamp> {
    match state {
        OrderState::Taken => heard_at,
        OrderState::Refused | OrderState::Expired => Some(row.closed_at.unwrap_or(row.until)),
        OrderState::Unknown => Some(row.until),
        OrderState::Open => None,
    }
}

#[cfg(test)]
mod tests;
