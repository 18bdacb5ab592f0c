//! Orders to sites, and what became of them.

use std::collections::HashMap;
use std::time::Duration as Patience;

use base::stream::Stream;
use base::value::Json;
use base::{
    By, Digest, Duration, Namespace, OrderId, Outcome, RequestId, RunId, SiteName, Timestamp,
};
use bytes::Bytes;
use link::hub::outcome_key;
use server::{Refusal, Roles};
use store::{EntryRow, Op, OrderRow, OrdersOf, Preconditions, Store};
use tokio::time::timeout;
use wire::order::{Act, Order, Receipt, ReceiptState};
use wire::{OrderState, OrderView, OutcomeView, Page, ProblemCode, Role, RunStart, SiteState};

use crate::Hub;
use crate::desk::DeskError;
use crate::fleet::Presence;
use crate::placement::Sites;
use crate::request::{LeftOuts, Request};
use crate::site::each_site;

/// The largest order, as text: it goes in a frame of its own where others are beside it.
pub(crate) const ORDER_BYTES_MAX: usize = 32 * 1024;

/// All orders of one request: they are one commit. A thousand sites may have the largest, ten thousand a
/// tenth of it.
const ORDERS_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Orders that are read at once.
const PAGE: u32 = 500;

/// Orders that are looked at for one page of a list: where few of many are wanted, the page ends there, and
/// the next goes on.
const LOOKED_MAX: usize = 5_000;

/// Ends of one run that are looked through: each further one is a retry by a person.
pub(crate) const ENDS_MAX: u32 = 1_000;

/// How sites are, as far as one look at many orders has seen them.
pub(crate) type Presences = HashMap<SiteName, Presence>;

/// A run that sites shall start.
#[derive(Debug, Clone)]
pub(crate) struct RunAsk {
    pub request: RequestId,
    /// Of all that was asked for.
    pub asked: Digest,
    pub namespace: Namespace,
    pub start: RunStart<Json>,
    pub life: Duration,
    pub by: By,
}

/// The orders of a request, by site, and whether they were given just now.
pub(crate) struct Given {
    pub orders: Vec<OrderView>,
    pub is_new: bool,
}

/// Which orders of a list.
#[derive(Debug, Clone, Default)]
pub(crate) struct OrderFilter {
    /// Any, where it is empty.
    pub states: Vec<OrderState>,
    pub is_over: Option<bool>,
}

impl OrderFilter {
    fn takes(&self, view: &OrderView) -> bool {
        (self.states.is_empty() || self.states.contains(&view.state))
            && self.is_over.is_none_or(|is_over| is_over == view.is_over)
    }
}

impl Hub {
    pub(crate) fn new_request(&self) -> RequestId {
        RequestId::new(self.now(), self.0.random.as_ref())
    }

    /// One order for each site that is meant: all are durable when this returns, or none. The same request
    /// again gives the same orders, whatever has changed since.
    pub(crate) async fn order_create(&self, to: &Sites, ask: RunAsk) -> Result<Given, Refusal> {
        if let Some(given) = self.given(&ask).await? {
            return Ok(given);
        }
        let changes = *self.0.ordering.lock().await;
        let (mut request, mut rows) = self.meant(to, &ask).await?;
        {
            let turn = self.0.ordering.lock().await;
            if let Some(given) = self.given(&ask).await? {
                return Ok(given);
            }
            if *turn != changes {
                // Whoever has cordoned a site in between may count on it.
                (request, rows) = self.meant(to, &ask).await?;
            }
            let orders = rows.iter().cloned().map(Op::OrderPut);
            let ops = orders.chain([request.put(ask.request)]).collect();
            self.0.store.commit(ops, Preconditions::none()).await?;
        }
        for row in &rows {
            if let Err(error) = self.desks().ordered(&row.site).await {
                // It is given in the next session.
                tracing::warn!(site = %row.site, %error, "cannot tell a site of its order");
            }
        }
        Ok(Given { orders: self.order_views(&rows).await?, is_new: true })
    }

    /// What would be given now.
    async fn meant(&self, to: &Sites, ask: &RunAsk) -> Result<(Request, Vec<OrderRow>), Refusal> {
        let (sites, left_out) = self.select(to).await?;
        let rows = self.rows(sites, ask)?;
        let request = Request {
            asked: ask.asked,
            namespace: ask.namespace.clone(),
            workflow: ask.start.workflow.clone(),
            by: ask.by.clone(),
            at: self.now(),
            sites: to.clone(),
            ordered: u32::try_from(rows.len()).unwrap_or(u32::MAX),
            left_out,
        };
        Ok((request, rows))
    }

    /// What this request has given before.
    async fn given(&self, ask: &RunAsk) -> Result<Option<Given>, Refusal> {
        let found = Request::find(self.0.store.as_ref(), ask.request).await?;
        let Some(found) = found else { return Ok(None) };
        if found.asked != ask.asked {
            let detail = format!(
                "the request {} was made before and asks for something else; choose a new id",
                ask.request
            );
            return Err(Refusal::new(ProblemCode::RequestExists, detail));
        }
        let rows = self.request_rows(ask.request, usize::MAX).await?;
        Ok(Some(Given { orders: self.order_views(&rows).await?, is_new: false }))
    }

    /// The orders of a request, by site, as they were given; at most so many, the last ones first.
    pub(crate) async fn request_rows(
        &self,
        request: RequestId,
        count_max: usize,
    ) -> Result<Vec<OrderRow>, Refusal> {
        let (mut rows, mut before) = (Vec::new(), None);
        loop {
            let of = OrdersOf::Request(request);
            let page = self.0.store.order_list(of, before, PAGE).await?;
            let is_last = page.len() < PAGE as usize;
            before = page.last().map(|row| row.position);
            rows.extend(page);
            if is_last || rows.len() >= count_max {
                break;
            }
        }
        rows.truncate(count_max);
        rows.reverse();
        Ok(rows)
    }

    fn rows(&self, sites: Vec<SiteName>, ask: &RunAsk) -> Result<Vec<OrderRow>, Refusal> {
        let RunAsk { request, namespace, start, life, by, .. } = ask;
        let now = self.now();
        let until = now.plus(*life);
        let (mut rows, mut bytes) = (Vec::new(), 0);
        for site in sites {
            let order = OrderId::new(now, self.0.random.as_ref());
            let (namespace, start) = (namespace.clone(), Box::new(start.clone()));
            let act = Act::Run { namespace, run: run_of(order), start };
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
            let (request, body) = (Some(*request), body.into());
            let (position, closed_at) = (0, None);
            rows.push(OrderRow { position, order, site, at: now, until, request, body, closed_at });
        }
        Ok(rows)
    }

    /// Orders that the caller may see, newest first, before `before`.
    pub(crate) async fn order_list(
        &self,
        of: OrdersOf,
        filter: &OrderFilter,
        roles: &Roles,
        before: Option<u64>,
        limit: u32,
    ) -> Result<Page<OrderView>, Refusal> {
        match &of {
            OrdersOf::All => {}
            OrdersOf::Site(site) => {
                self.presence(site).await?;
            }
            OrdersOf::Request(request) => {
                Request::seen(self.0.store.as_ref(), *request, roles).await?;
            }
        }
        let (mut items, mut looked, mut before) = (Vec::new(), 0, before);
        let mut seen = Presences::new();
        loop {
            let rows = self.0.store.order_list(of.clone(), before, PAGE).await?;
            let is_last = rows.len() < PAGE as usize;
            for row in rows {
                let next = before.map(|before| before.to_string());
                if items.len() == limit as usize || looked == LOOKED_MAX {
                    return Ok(Page { items, next });
                }
                (before, looked) = (Some(row.position), looked + 1);
                if !is_seen(&row, roles) {
                    continue;
                }
                let (view, _) = self.order_heard(&row, &mut seen).await?;
                if filter.takes(&view) {
                    items.push(view);
                }
            }
            if is_last {
                return Ok(Page { items, next: None });
            }
        }
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
        if first.is_over || wait.is_zero() {
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
    pub(crate) async fn order_find(
        &self,
        order: OrderId,
        roles: &Roles,
    ) -> Result<OrderRow, Refusal> {
        let found = self.0.store.order_get(order).await?.filter(|row| is_seen(row, roles));
        found.ok_or_else(|| {
            Refusal::new(ProblemCode::OrderMissing, format!("there is no order {order}"))
        })
    }

    async fn order_look(&self, order: OrderId) -> Result<OrderView, Refusal> {
        let row = self.order_find(order, &Roles::everywhere(Role::Viewer)).await?;
        self.order_view(&row).await
    }

    pub(crate) async fn order_views(&self, rows: &[OrderRow]) -> Result<Vec<OrderView>, Refusal> {
        let (mut views, mut seen) = (Vec::new(), Presences::new());
        for row in rows {
            views.push(self.order_heard(row, &mut seen).await?.0);
        }
        Ok(views)
    }

    pub(crate) async fn order_view(&self, row: &OrderRow) -> Result<OrderView, Refusal> {
        Ok(self.order_heard(row, &mut Presences::new()).await?.0)
    }

    /// With when the hub heard of the newest end of its run.
    pub(crate) async fn order_heard(
        &self,
        row: &OrderRow,
        seen: &mut Presences,
    ) -> Result<(OrderView, Option<Timestamp>), Refusal> {
        let store = self.0.store.as_ref();
        let act = Order::decode(&row.body).ok().map(|order| order.act);
        let namespace = act.as_ref().and_then(Act::namespace).map(Namespace::to_string);
        let workflow = act.as_ref().and_then(Act::workflow).map(str::to_owned);
        let run = act.as_ref().and_then(|act| act.run(&row.site));
        let receipt = receipt(store, &row.site, row.order).await?;
        let (outcome, heard_at) = match run {
            Some(run) => newest_outcome(store, &row.site, run).await?.unzip(),
            None => (None, None),
        };
        let Presence { state: presence, since, set_back_at } = match seen.get(&row.site) {
            Some(presence) => *presence,
            None => {
                let presence = self.presence(&row.site).await?;
                seen.insert(row.site.clone(), presence);
                presence
            }
        };
        let (receipt, taken_at) = receipt.unzip();
        let (state, is_over) = standing(
            receipt.as_ref().map(|receipt| receipt.state),
            outcome.is_some(),
            self.now() > row.until,
            presence == SiteState::Revoked || taken_at.is_some_and(|at| set_back_at > Some(at)),
        );
        let is_online = presence == SiteState::Online;
        let view = OrderView {
            order: row.order.to_string(),
            request: row.request.map(|request| request.to_string()),
            site: row.site.to_string(),
            run: run.map_or_else(String::new, |run| run.to_string()),
            namespace: namespace.unwrap_or_default(),
            workflow: workflow.unwrap_or_default(),
            state,
            judged_at: receipt.as_ref().map(|receipt| receipt.at.to_string()),
            code: receipt.and_then(|receipt| receipt.code),
            given_at: row.at.to_string(),
            until: row.until.to_string(),
            outcome: outcome.map(|outcome| OutcomeView {
                state: outcome.state.as_str().to_owned(),
                started_at: outcome.started_at.to_string(),
                ended_at: outcome.ended_at.to_string(),
                error: outcome.error.map(|error| error.kind.name().to_owned()),
            }),
            is_online,
            silent_since: since.filter(|_| !is_online).map(|since| since.to_string()),
            is_over,
        };
        Ok((view, heard_at))
    }

    /// The sites that are meant, by name, and why others are not. Whoever is named must be there.
    async fn select(&self, to: &Sites) -> Result<(Vec<SiteName>, LeftOuts), Refusal> {
        let (mut found, mut left_out) = (Vec::new(), LeftOuts::default());
        if let Sites::Names(names) = to {
            for name in names {
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
            return Ok((found, left_out));
        }
        let looked = each_site(self.0.store.as_ref(), |row, doc| {
            if left_out.pass(to, &row.site, &doc) {
                found.push(row.site);
            }
            Ok(())
        });
        looked.await?;
        if found.is_empty() {
            let why = Some(left_out.words()).filter(|words| !words.is_empty());
            let why = why.unwrap_or_else(|| "the fleet has none".to_owned());
            let detail = format!(
                "no site that has joined and is not cordoned is meant ({why}); `isonomy sites list` shows the fleet with its tags"
            );
            return Err(Refusal::new(ProblemCode::OrderMissing, detail));
        }
        Ok((found, left_out))
    }
}

/// The run of an order has its number: by either, both are found.
#[must_use]
pub(crate) const fn run_of(order: OrderId) -> RunId {
    RunId::from_uuid(*order.as_uuid())
}

#[must_use]
pub(crate) const fn order_of(run: RunId) -> OrderId {
    OrderId::from_uuid(*run.as_uuid())
}

/// What hub and site have to say to each other beside work is nobody's order.
fn is_seen(row: &OrderRow, roles: &Roles) -> bool {
    match Order::decode(&row.body) {
        Ok(order) => {
            let of = order.act.namespace();
            of.is_some_and(|namespace| roles.need(Role::Viewer, namespace).is_ok())
        }
        Err(_) => roles.need_everywhere(Role::Viewer).is_ok(),
    }
}

/// What became of an order, and whether nothing more is to be expected, unless a person changes it.
const fn standing(
    receipt: Option<ReceiptState>,
    has_ended: bool,
    is_late: bool,
    is_gone: bool,
) -> (OrderState, bool) {
    let (state, is_over) = match receipt {
        Some(ReceiptState::Taken) => (OrderState::Taken, has_ended),
        Some(ReceiptState::Refused) => (OrderState::Refused, true),
        Some(ReceiptState::Expired) => (OrderState::Expired, true),
        // What has ended was taken, whichever word of it came first.
        None if has_ended => (OrderState::Taken, true),
        None if is_late => (OrderState::Unknown, false),
        None => (OrderState::Open, false),
    };
    // Nothing that a revoked site says is taken, and one that was set back does not know of it.
    if is_gone && !is_over { (OrderState::Unknown, true) } else { (state, is_over) }
}

/// And when the hub heard of it.
async fn receipt(
    store: &dyn Store,
    site: &SiteName,
    order: OrderId,
) -> Result<Option<(Receipt, Timestamp)>, Refusal> {
    let key = Bytes::copy_from_slice(order.as_uuid().as_bytes());
    let entry = store.entry_get(site.clone(), Stream::Receipt, key).await?;
    Ok(entry.and_then(|entry| Some((Receipt::decode(&entry.entry).ok()?, entry.at))))
}

/// Of the newest end that the hub has heard of.
async fn newest_outcome(
    store: &dyn Store,
    site: &SiteName,
    run: RunId,
) -> Result<Option<(Outcome, Timestamp)>, Refusal> {
    let mut newest = None;
    for number in 1..=ENDS_MAX {
        let key = outcome_key(run, number);
        let entry = store.entry_get(site.clone(), Stream::Outcome, key).await?;
        let read = |entry: EntryRow| Some((Outcome::decode(&entry.entry).ok()?, entry.at));
        match entry.and_then(read) {
            Some(found) => newest = Some(found),
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
    use base::{DispatchId, SystemRandom};
    use wire::dispatch::{Answer, AnswerState, News};

    use super::*;

    /// Mutation: wait for the end of an order that was refused, or not for that of one that was taken; let one
    /// at a revoked site stay open, or forget that it had ended.
    #[test]
    fn an_order_is_over_when_nothing_more_will_come() {
        use OrderState::{Expired, Open, Refused, Taken, Unknown};
        let receipts = [
            None,
            Some(ReceiptState::Taken),
            Some(ReceiptState::Refused),
            Some(ReceiptState::Expired),
        ];
        let all = |has_ended, is_late, is_revoked| {
            receipts.map(|receipt| standing(receipt, has_ended, is_late, is_revoked))
        };
        let judged = [(Refused, true), (Expired, true)];
        let with = |none, taken| [none, taken, judged[0], judged[1]];
        assert_eq!(all(false, false, false), with((Open, false), (Taken, false)));
        assert_eq!(all(false, true, false), with((Unknown, false), (Taken, false)));
        assert_eq!(all(true, true, false), with((Taken, true), (Taken, true)));
        assert_eq!(all(false, false, true), with((Unknown, true), (Unknown, true)));
        assert_eq!(all(true, false, true), with((Taken, true), (Taken, true)));
    }

    /// Mutation: show word between hub and site as an order that nobody will ever report the end of.
    #[test]
    fn word_between_hub_and_site_is_nobodys_order() {
        let now = Timestamp::from_millis(0);
        let row = |act| OrderRow {
            position: 1,
            order: OrderId::new(now, &SystemRandom),
            site: SiteName::parse("desk").expect("a name"),
            at: now,
            until: now,
            request: None,
            body: Order { until: now, by: By { actor: "ada".into(), reason: None }, act }
                .encode()
                .into(),
            closed_at: None,
        };
        let news = News {
            dispatch: DispatchId::new(now, &SystemRandom),
            site: SiteName::parse("clinic-1").expect("a name"),
            answer: Answer::new(AnswerState::Completed, None, now),
        };
        let all = Roles::everywhere(Role::Admin);
        assert!(!is_seen(&row(Act::News(Box::new(news))), &all));
        let start = RunStart {
            workflow: "screen".to_owned(),
            revision: None,
            run: None,
            input: Json::default(),
            tags: Vec::new(),
            labels: Vec::new(),
            priority: 0,
            reason: None,
        };
        let (namespace, run) =
            (Namespace::parse("lab").expect("a name"), RunId::new(now, &SystemRandom));
        let work = row(Act::Run { namespace, run, start: Box::new(start) });
        assert!(is_seen(&work, &all) && !is_seen(&work, &Roles::default()));
    }

    /// Mutation: take any life of an order.
    #[test]
    fn an_order_lives_within_bounds() {
        let days = |days: u64| Some(days * 24 * 3600);
        assert_eq!(life(None), Some(Duration::from_secs(24 * 3600)));
        assert!(life(Some(59)).is_none() && life(days(46)).is_none());
        assert!(life(Some(60)).is_some() && life(days(45)).is_some());
    }
}
