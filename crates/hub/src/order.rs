//! Orders to sites, and what became of them.

use std::time::Duration as Patience;

use base::stream::Stream;
use base::value::Json;
use base::{By, Duration, Namespace, OrderId, Outcome, RunId, SiteName};
use bytes::Bytes;
use link::hub::outcome_key;
use server::{Refusal, Roles};
use store::{Op, OrderRow, Preconditions, Store};
use tokio::time::timeout;
use wire::order::{Act, Order, Receipt, ReceiptState};
use wire::{OrderState, OrderView, OutcomeView, ProblemCode, Role, RunStart};

use crate::Hub;
use crate::desk::DeskError;
use crate::site::SiteDoc;

/// The largest order, as text: it goes in a frame of its own where others are beside it.
const ORDER_BYTES_MAX: usize = 32 * 1024;

/// All orders of one request: they are one commit. A thousand sites may have the largest, ten thousand a
/// tenth of it.
const ORDERS_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Sites that are read at once.
const PAGE: u32 = 500;

/// Ends of one run that are looked through: each further one is a retry by a person.
const ENDS_MAX: u32 = 1_000;

/// Which sites are meant.
#[derive(Debug, Clone)]
pub(crate) struct Selection {
    pub names: Vec<SiteName>,
    pub tags: Vec<(String, String)>,
    pub all: bool,
}

/// A run that sites shall start.
#[derive(Debug, Clone)]
pub(crate) struct RunAsk {
    pub namespace: Namespace,
    pub start: RunStart<Json>,
    pub life: Duration,
    pub by: By,
}

impl Hub {
    /// One order for each site that is meant: all are durable when this returns, or none.
    pub(crate) async fn order_create(
        &self,
        to: &Selection,
        ask: RunAsk,
    ) -> Result<Vec<OrderView>, Refusal> {
        let sites = self.select(to).await?;
        let RunAsk { namespace, start, life, by } = ask;
        let now = self.now();
        let random = self.0.random.as_ref();
        let until = now.plus(life);
        let (mut rows, mut bytes) = (Vec::new(), 0);
        for site in sites {
            let run = RunId::new(now, random);
            let (namespace, start) = (namespace.clone(), Box::new(start.clone()));
            let act = Act::Run { namespace, run, start };
            let body = Order { until, by: by.clone(), act }.encode();
            if body.len() > ORDER_BYTES_MAX {
                let detail = format!(
                    "the order has {} bytes, and {ORDER_BYTES_MAX} are the most: give sites names of data, and not the data",
                    body.len()
                );
                return Err(Refusal::new(ProblemCode::TooLarge, detail));
            }
            bytes += body.len();
            if bytes > ORDERS_BYTES_MAX {
                let detail = format!(
                    "so many orders have more than {ORDERS_BYTES_MAX} bytes: mean fewer sites at once, or give less input"
                );
                return Err(Refusal::new(ProblemCode::TooLarge, detail));
            }
            let (order, body) = (OrderId::new(now, random), body.into());
            rows.push(OrderRow { position: 0, order, site, at: now, until, body, closed_at: None });
        }
        let ops = rows.iter().cloned().map(Op::OrderPut).collect();
        self.0.store.commit(ops, Preconditions::none()).await?;
        let mut views = Vec::new();
        for row in rows {
            if let Err(error) = self.desks().ordered(&row.site).await {
                // It is given in the next session.
                tracing::warn!(site = %row.site, %error, "cannot tell a site of its order");
            }
            views.push(self.order_view(&row).await?);
        }
        Ok(views)
    }

    /// What became of an order; waits for something new, but not for ever.
    pub(crate) async fn order_show(
        &self,
        order: OrderId,
        roles: &Roles,
        wait: Patience,
    ) -> Result<OrderView, Refusal> {
        let mut taken = self.desks().taken();
        self.order_find(order, roles).await?;
        let first = self.order_look(order).await?;
        if is_over(&first) || wait.is_zero() {
            return Ok(first);
        }
        let changed = async {
            loop {
                if taken.changed().await.is_err() {
                    return Ok(first.clone());
                }
                let view = self.order_look(order).await?;
                if view != first {
                    return Ok(view);
                }
            }
        };
        timeout(wait, changed).await.unwrap_or(Ok(first.clone()))
    }

    /// Another team's order is not there.
    async fn order_find(&self, order: OrderId, roles: &Roles) -> Result<OrderRow, Refusal> {
        let missing =
            || Refusal::new(ProblemCode::OrderMissing, format!("there is no order {order}"));
        let row = self.0.store.order_get(order).await?.ok_or_else(missing)?;
        let seen = match Order::decode(&row.body) {
            Ok(Order { act: Act::Run { namespace, .. }, .. }) => {
                roles.need(Role::Viewer, &namespace)
            }
            Err(_) => roles.need_everywhere(Role::Viewer),
        };
        seen.map_err(|_| missing())?;
        Ok(row)
    }

    async fn order_look(&self, order: OrderId) -> Result<OrderView, Refusal> {
        let row = self.order_find(order, &Roles::everywhere(Role::Viewer)).await?;
        self.order_view(&row).await
    }

    async fn order_view(&self, row: &OrderRow) -> Result<OrderView, Refusal> {
        let store = self.0.store.as_ref();
        let order = Order::decode(&row.body).ok();
        let run = order.map(|Order { act: Act::Run { run, .. }, .. }| run);
        let receipt = receipt(store, &row.site, row.order).await?;
        let outcome = match run {
            Some(run) => newest_outcome(store, &row.site, run).await?,
            None => None,
        };
        let (state, code) = match receipt {
            Some(receipt) => (state_of(receipt.state), receipt.code),
            // What has ended was taken, whichever word of it came first.
            None if outcome.is_some() => (OrderState::Taken, None),
            None if self.now() > row.until => (OrderState::Unknown, None),
            None => (OrderState::Open, None),
        };
        Ok(OrderView {
            order: row.order.to_string(),
            site: row.site.to_string(),
            run: run.map_or_else(String::new, |run| run.to_string()),
            state,
            code,
            given_at: row.at.to_string(),
            until: row.until.to_string(),
            outcome: outcome.map(|outcome| OutcomeView {
                state: outcome.state.as_str().to_owned(),
                started_at: outcome.started_at.to_string(),
                ended_at: outcome.ended_at.to_string(),
                error: outcome.error.map(|error| error.kind.name().to_owned()),
            }),
            is_online: self.desks().online_since(&row.site).is_some(),
        })
    }

    /// The sites that are meant, by name. Whoever is named must be there.
    async fn select(&self, to: &Selection) -> Result<Vec<SiteName>, Refusal> {
        let mut found = Vec::new();
        if !to.names.is_empty() {
            for name in &to.names {
                let doc = self.desks().site_doc(name).await?;
                let doc = doc.ok_or_else(|| DeskError::Unknown(name.clone()))?;
                if doc.revoked_at.is_some() {
                    return Err(DeskError::Revoked(name.clone()).into());
                }
                if doc.cordoned_at.is_some() {
                    let detail = format!(
                        "the site {name} is cordoned; `isonomy sites uncordon {name}` ends that"
                    );
                    return Err(Refusal::new(ProblemCode::SiteCordoned, detail));
                }
                found.push(name.clone());
            }
            return Ok(found);
        }
        let mut after = None;
        loop {
            let page = self.0.store.site_list(after, PAGE).await?;
            let is_last = page.len() < PAGE as usize;
            after = page.last().map(|row| row.site.clone());
            for row in page {
                let doc = SiteDoc::read(&row.site, &row.record).map_err(DeskError::from)?;
                if doc.is_member()
                    && doc.cordoned_at.is_none()
                    && (to.all || has_all(&doc, &to.tags))
                {
                    found.push(row.site);
                }
            }
            if is_last {
                break;
            }
        }
        if found.is_empty() {
            let detail = "no site that has joined and is not cordoned is meant; `isonomy sites list` shows the fleet with its tags";
            return Err(Refusal::new(ProblemCode::OrderMissing, detail));
        }
        Ok(found)
    }
}

fn has_all(doc: &SiteDoc, tags: &[(String, String)]) -> bool {
    tags.iter().all(|(key, value)| doc.tags.get(key) == Some(value))
}

/// Whether nothing more is to be expected, unless a person changes it.
fn is_over(view: &OrderView) -> bool {
    match view.state {
        OrderState::Open | OrderState::Unknown => false,
        OrderState::Taken => view.outcome.is_some(),
        OrderState::Refused | OrderState::Expired => true,
    }
}

const fn state_of(state: ReceiptState) -> OrderState {
    match state {
        ReceiptState::Taken => OrderState::Taken,
        ReceiptState::Refused => OrderState::Refused,
        ReceiptState::Expired => OrderState::Expired,
    }
}

async fn receipt(
    store: &dyn Store,
    site: &SiteName,
    order: OrderId,
) -> Result<Option<Receipt>, Refusal> {
    let key = Bytes::copy_from_slice(order.as_uuid().as_bytes());
    let entry = store.entry_get(site.clone(), Stream::Receipt, key).await?;
    Ok(entry.and_then(|entry| Receipt::decode(&entry.entry).ok()))
}

/// Of the newest end that the hub has heard of.
async fn newest_outcome(
    store: &dyn Store,
    site: &SiteName,
    run: RunId,
) -> Result<Option<Outcome>, Refusal> {
    let mut newest = None;
    for number in 1..=ENDS_MAX {
        let key = outcome_key(run, number);
        let entry = store.entry_get(site.clone(), Stream::Outcome, key).await?;
        match entry.and_then(|entry| Outcome::decode(&entry.entry).ok()) {
            Some(outcome) => newest = Some(outcome),
            None => break,
        }
    }
    Ok(newest)
}

/// Until then an order is good at most, counted from `now`.
#[must_use]
pub(crate) fn life(asked: Option<u64>) -> Option<Duration> {
    const LEAST: Duration = Duration::from_secs(60);
    const USUAL: Duration = Duration::from_secs(24 * 3600);
    let life = asked.map_or(USUAL, Duration::from_secs);
    (LEAST..=link::ORDER_LIFE_MAX).contains(&life).then_some(life)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(state: OrderState, outcome: bool) -> OrderView {
        let text = || "x".to_owned();
        let ended =
            OutcomeView { state: text(), started_at: text(), ended_at: text(), error: None };
        OrderView {
            order: text(),
            site: text(),
            run: text(),
            state,
            code: None,
            given_at: text(),
            until: text(),
            outcome: outcome.then_some(ended),
            is_online: false,
        }
    }

    /// Mutation: wait for the end of an order that was refused, or not for that of one that was taken.
    #[test]
    fn an_order_is_over_when_nothing_more_will_come() {
        for (state, has_outcome, expected) in [
            (OrderState::Open, false, false),
            (OrderState::Taken, false, false),
            (OrderState::Taken, true, true),
            (OrderState::Refused, false, true),
            (OrderState::Expired, false, true),
            (OrderState::Unknown, false, false),
        ] {
            assert_eq!(is_over(&view(state, has_outcome)), expected, "{state:?}");
        }
    }

    /// Mutation: take any life of an order.
    #[test]
    fn an_order_lives_within_bounds() {
        let days = |days: u64| Some(days * 24 * 3600);
        assert_eq!(life(None), Some(Duration::from_secs(24 * 3600)));
        assert!(life(Some(59)).is_none() && life(days(46)).is_none());
        assert!(life(Some(60)).is_some() && life(days(45)).is_some());
    }

    /// Mutation: mean sites that have some of the tags.
    #[test]
    fn a_site_is_meant_by_all_of_its_tags() {
        let tag = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let doc = SiteDoc {
            tags: [tag("region", "eu"), tag("role", "clinic")].into(),
            ..SiteDoc::default()
        };
        assert!(has_all(&doc, &[tag("region", "eu")]));
        assert!(!has_all(&doc, &[tag("region", "eu"), tag("role", "plant")]));
    }
}
