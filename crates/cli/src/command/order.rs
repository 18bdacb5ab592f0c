//! `isonomy run --site`: has sites of the hub's fleet start a run each, and says what becomes of it.
//! `isonomy orders`: looks at that again.

use std::collections::BTreeMap;

use base::{Clock as _, RequestId, SystemClock, SystemRandom, Timestamp};
use gateway::operator::OperatorError;
use serde_json::Value;
use wire::{OrderCreate, OrderState, OrderView, Page, RunStart};

use super::run::Target;
use super::{hub_api, pages, say_next};
use crate::address::Whom;
use crate::api::{Api, OrderFilter, Part};
use crate::args::order::{OrdersArgs, OrdersCommand, OrdersFollow, OrdersList};
use crate::args::{Global, RunArgs};
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::follow::{Tries, is_passing, reason};
use crate::interrupt::Interrupt;
use crate::output::{self, Format};
use crate::{input, when};

/// How long the hub is asked to wait for something new of one order, before all are looked at again.
pub(super) const WAIT_SECONDS: u64 = 2;

/// Orders that are asked for at once: the most that a hub gives.
pub(super) const ORDERS_PAGE: u32 = 500;

pub async fn run(global: &Global, args: RunArgs) -> Outcome {
    let Target::Name(workflow) = Target::parse(&args.target)? else {
        return Err(Failure::usage("a file cannot be run at other sites".to_owned())
            .hint("apply it at the sites, and name the workflow here"));
    };
    let input: Value = input::read(&args.input)?;
    let ttl = when::length(&args.ttl)?;
    let request = args.request.unwrap_or_else(|| RequestId::new(SystemClock.now(), &SystemRandom));
    let start = RunStart {
        workflow: workflow.to_string(),
        revision: args.revision,
        run: None,
        input,
        tags: args.tag,
        labels: args.label,
        priority: args.priority,
        reason: args.reason,
    };
    let ask = OrderCreate {
        request: Some(request.to_string()),
        sites: args.site.iter().map(ToString::to_string).collect(),
        tags: args.r#where.into_iter().collect(),
        all: args.all,
        namespace: global.namespace.to_string(),
        start,
        ttl_seconds: Some(ttl.as_millis() / 1000),
    };
    let mut api = hub_api(global)?;
    let mut interrupt = Interrupt::typed()?;
    let Some(given) = give(&mut api, &ask, &mut interrupt).await? else {
        output::say(&format!("whether the orders are given is not known; {}", again(request)));
        return Ok(Exit::Interrupted);
    };
    super::recovery::say_if_on(&api).await?;
    let as_they_come = args.follow.then_some(args.output).flatten();
    let mut followed = Followed::new(request, as_they_come);
    followed.tell(given.items)?;
    if args.detach {
        return followed.end(args.output, Exit::Ok);
    }
    followed.follow_on(&mut api, &mut interrupt, args.output).await
}

pub async fn orders(global: &Global, args: OrdersArgs) -> Outcome {
    match args.command.unwrap_or(OrdersCommand::List(args.list)) {
        OrdersCommand::List(args) => list(global, args).await,
        OrdersCommand::Follow(args) => follow(global, args).await,
    }
}

async fn list(global: &Global, args: OrdersList) -> Outcome {
    let filter = OrderFilter {
        request: args.request,
        site: args.site.map(|site| site.to_string()),
        states: args.state,
        is_over: args.going.then_some(false),
    };
    let api = hub_api(global)?;
    let page = pages(&args.page, async |part| {
        api.order_list(&filter, &part).await.map_err(|error| api.explain(error))
    });
    let page = page.await?;
    let now = SystemClock.now();
    output::show(args.output.output, &page, || list_text(&page.items, now))?;
    say_next(page.next.as_deref());
    Ok(Exit::Ok)
}

async fn follow(global: &Global, args: OrdersFollow) -> Outcome {
    let mut api = hub_api(global)?;
    let mut interrupt = Interrupt::typed()?;
    let mut followed = Followed::new(args.request, args.output);
    followed.tell(all(&api, &of(args.request)).await.map_err(|error| api.explain(error))?)?;
    followed.follow_on(&mut api, &mut interrupt, args.output).await
}

/// Asks again where the answer was lost: the request's id makes the second time harmless. Nothing where it
/// was interrupted.
async fn give(
    api: &mut Api,
    ask: &OrderCreate,
    interrupt: &mut Interrupt,
) -> Outcome<Option<Page<OrderView>>> {
    let mut tries = Tries::of(Whom::Hub);
    let mut is_lost = false;
    loop {
        let error = tokio::select! {
            given = api.order_create(ask) => match given {
                Ok(given) => return Ok(Some(given)),
                Err(error) => error,
            },
            () = interrupt.wait() => return Ok(None),
        };
        // Who was never there has given nothing.
        is_lost |= matches!(error, OperatorError::Broken { .. });
        if !is_lost || !is_passing(&error) {
            return Err(api.explain(error));
        }
        let request = ask.request.as_deref().unwrap_or_default();
        let unknown = format!(
            "whether the orders are given is not known; add `--request {request}` to the same command, which gives them once"
        );
        let again = tries.again(api, interrupt, &reason(error), None).await;
        if !again.map_err(|failure| failure.hint(unknown))? {
            return Ok(None);
        }
    }
}

/// What was told of the orders of a request.
struct Followed {
    request: RequestId,
    /// In which form each change is data. Otherwise it is talk, and all of them are data at the end.
    as_they_come: Option<Format>,
    /// By site, as they were given.
    orders: BTreeMap<String, OrderView>,
}

impl Followed {
    fn new(request: RequestId, as_they_come: Option<Format>) -> Self {
        let as_they_come = as_they_come.filter(|format| *format != Format::Text);
        Self { request, as_they_come, orders: BTreeMap::new() }
    }

    /// Says what is new.
    fn tell(&mut self, orders: Vec<OrderView>) -> Outcome<()> {
        let now = SystemClock.now();
        for order in orders {
            let before = self.orders.get(&order.site);
            let Some(line) = news(before, &order, now) else { continue };
            output::say(&line);
            if let Some(format) = self.as_they_come {
                output::show_next(format, &order, String::new)?;
            }
            self.orders.insert(order.site.clone(), order);
        }
        Ok(())
    }

    /// Until nothing more is to be expected of any of them. A site that is silent holds up no word of the
    /// others, and neither is a hub that is started anew a reason to stop.
    async fn follow_on(
        mut self,
        api: &mut Api,
        interrupt: &mut Interrupt,
        format: Option<Format>,
    ) -> Outcome {
        let (mut tries, filter) = (Tries::of(Whom::Hub), of(self.request));
        loop {
            let Some(waited_for) = self.orders.values().find(|order| !is_over(order)) else {
                let code = exit(self.orders.values());
                return self.end(format, code);
            };
            let looked = tokio::select! {
                looked = look(api, &filter, &waited_for.order) => looked,
                () = interrupt.wait() => return self.interrupted(format),
            };
            match looked {
                Ok(orders) => {
                    tries = Tries::of(Whom::Hub);
                    self.tell(orders)?;
                }
                Err(error) if is_passing(&error) => {
                    let again = tries.again(api, interrupt, &reason(error), None).await;
                    let stand = format!("the orders stand; {}", again_hint(self.request));
                    if !again.map_err(|failure| failure.hint(stand))? {
                        return self.interrupted(format);
                    }
                }
                Err(error) => return Err(api.explain(error)),
            }
        }
    }

    fn interrupted(self, format: Option<Format>) -> Outcome {
        let request = self.request;
        self.end(format, Exit::Ok)?;
        output::say(&format!("the orders stand; the sites go on; {}", again(request)));
        Ok(Exit::Interrupted)
    }

    fn end(self, format: Option<Format>, code: Exit) -> Outcome {
        if self.as_they_come.is_none() {
            let page = Page { items: self.orders.into_values().collect(), next: None };
            output::show(format.unwrap_or(Format::Text), &page, || text(&page.items))?;
        }
        Ok(code)
    }
}

fn again(request: RequestId) -> String {
    format!("look again with {}", again_hint(request))
}

fn again_hint(request: RequestId) -> String {
    format!("`isonomy orders follow {request}`")
}

fn of(request: RequestId) -> OrderFilter {
    OrderFilter { request: Some(request), ..OrderFilter::default() }
}

/// All of these, when something is new of one of them, or after a while.
pub(super) async fn look(
    api: &Api,
    filter: &OrderFilter,
    waited_for: &str,
) -> Result<Vec<OrderView>, OperatorError> {
    api.order_show(waited_for, WAIT_SECONDS).await?;
    all(api, filter).await
}

pub(super) async fn all(api: &Api, filter: &OrderFilter) -> Result<Vec<OrderView>, OperatorError> {
    let (mut orders, mut cursor) = (Vec::new(), None);
    loop {
        let page = api.order_list(filter, &Part { limit: Some(ORDERS_PAGE), cursor }).await?;
        orders.extend(page.items);
        cursor = page.next;
        if cursor.is_none() {
            // As they were given: by site.
            orders.reverse();
            return Ok(orders);
        }
    }
}

/// Of one whose time is over nothing is to be expected soon.
fn is_over(order: &OrderView) -> bool {
    order.is_over || order.state == OrderState::Unknown
}

/// What has happened between two looks at an order, for people.
pub(super) fn news(
    before: Option<&OrderView>,
    order: &OrderView,
    now: Timestamp,
) -> Option<String> {
    let site = &order.site;
    let what = |order: &OrderView| (order.state, order.outcome.clone(), order.is_over);
    let is_new = before.is_none_or(|before| what(before) != what(order));
    let was_online = before.is_none_or(|before| before.is_online);
    if !is_new && was_online == order.is_online {
        return None;
    }
    let silent = Some(order).filter(|it| !it.is_online && !is_over(it)).map(|it| silent(it, now));
    let left = when::until(&order.until, now);
    let line = match (is_new, order.state, silent) {
        (true, OrderState::Open, None) => format!("{site}: ordered"),
        (_, OrderState::Open, Some(silent)) => {
            format!("{site}: {silent}; its order waits for it, {left} at most")
        }
        (true, _, None) => format!("{site}: {}", said(order)),
        (true, _, Some(silent)) => {
            format!("{site}: {}; {silent}; what it does since then is not known", said(order))
        }
        (false, _, Some(silent)) => {
            format!("{site}: {silent}; what it does since then is not known")
        }
        (false, _, None) if is_over(order) => return None,
        (false, _, None) => format!("{site}: online again"),
    };
    Some(line)
}

pub(super) fn silent(order: &OrderView, now: Timestamp) -> String {
    match &order.silent_since {
        Some(since) => {
            let minute = when::clock(since).get(..5).unwrap_or_default();
            format!("silent since {minute}, {}", when::age(since, now))
        }
        None => "silent".to_owned(),
    }
}

/// With the time, where there is one.
pub(super) fn said(order: &OrderView) -> String {
    match &order.outcome {
        Some(outcome) => {
            let at = when::clock(&outcome.ended_at);
            let took = when::took(&outcome.started_at, Some(&outcome.ended_at));
            format!("{} at {at}, after {took}", what(order))
        }
        None => what(order),
    }
}

fn what(order: &OrderView) -> String {
    match (&order.outcome, order.state) {
        (Some(outcome), _) => match &outcome.error {
            Some(error) => format!("{} with {error}", outcome.state),
            None => outcome.state.clone(),
        },
        (None, OrderState::Open) => "open".to_owned(),
        (None, OrderState::Taken) => "taken".to_owned(),
        (None, OrderState::Refused) => {
            format!("refused: {}", order.code.as_deref().unwrap_or("without a word"))
        }
        (None, OrderState::Expired) => "expired before it came".to_owned(),
        (None, OrderState::Unknown) if order.is_over && order.judged_at.is_some() => {
            "unknown: it was taken, and the site was replaced, set back or revoked since".to_owned()
        }
        (None, OrderState::Unknown) if order.is_over => "unknown: its site was revoked".to_owned(),
        (None, OrderState::Unknown) => {
            "unknown: its time is over, and nothing was heard".to_owned()
        }
    }
}

/// The worst of all.
fn exit<'a>(mut orders: impl Iterator<Item = &'a OrderView>) -> Exit {
    let has_completed = |order: &OrderView| {
        order.outcome.as_ref().is_some_and(|outcome| outcome.state == "completed")
    };
    if orders.all(has_completed) { Exit::Ok } else { Exit::Faulted }
}

fn text(orders: &[OrderView]) -> String {
    let rows = orders.iter().map(|order| vec![order.site.clone(), order.run.clone(), what(order)]);
    output::table(&["site", "run", "what"], rows)
}

pub(super) fn list_text(orders: &[OrderView], now: Timestamp) -> String {
    let rows = orders.iter().map(|order| {
        let silent =
            if order.is_online || is_over(order) { String::new() } else { silent(order, now) };
        vec![
            order.order.clone(),
            order.site.clone(),
            format!("{}/{}", order.namespace, order.workflow),
            when::age(&order.given_at, now),
            what(order),
            silent,
        ]
    });
    output::table(&["order", "site", "workflow", "age", "what", "line"], rows)
}

#[cfg(test)]
mod tests {
    use wire::OutcomeView;

    use super::*;

    const NOW: &str = "2027-01-15T14:05:00.000Z";

    fn order(state: OrderState, ended: Option<&str>) -> OrderView {
        let text = || "x".to_owned();
        let outcome = ended.map(|ended| OutcomeView {
            state: ended.to_owned(),
            started_at: "2027-01-15T14:04:00.000Z".to_owned(),
            ended_at: "2027-01-15T14:04:02.500Z".to_owned(),
            error: (ended == "faulted").then(|| "timeout".to_owned()),
        });
        OrderView {
            order: text(),
            request: None,
            site: "clinic-2".to_owned(),
            run: text(),
            namespace: text(),
            workflow: text(),
            state,
            code: (state == OrderState::Refused).then(|| "workflow-missing".to_owned()),
            given_at: text(),
            until: "2027-01-16T13:05:00.000Z".to_owned(),
            judged_at: None,
            is_over: outcome.is_some() || state == OrderState::Refused,
            outcome,
            is_online: true,
            silent_since: None,
        }
    }

    fn away(order: &OrderView) -> OrderView {
        let silent_since = Some("2027-01-15T14:02:00.000Z".to_owned());
        OrderView { is_online: false, silent_since, ..order.clone() }
    }

    /// Mutation: call it success where one site has refused or faulted, or wait for one that has refused.
    #[test]
    fn all_must_complete_and_each_is_told() {
        let done = order(OrderState::Taken, Some("completed"));
        let faulted = order(OrderState::Taken, Some("faulted"));
        let refused = order(OrderState::Refused, None);
        let going = order(OrderState::Taken, None);
        assert_eq!(exit([&done, &done].into_iter()), Exit::Ok);
        for other in [&faulted, &refused, &going] {
            assert_eq!(exit([&done, other].into_iter()), Exit::Faulted);
        }
        assert_eq!(what(&faulted), "faulted with timeout");
        assert_eq!(what(&refused), "refused: workflow-missing");
        assert!(is_over(&refused) && is_over(&done) && !is_over(&going));
    }

    /// Mutation: say nothing where a line is down, say it again at each look, or call a site silent whose
    /// word is its last.
    #[test]
    fn what_cannot_be_seen_is_said_once() {
        let now = Timestamp::parse(NOW).expect("a time");
        let (open, going) = (order(OrderState::Open, None), order(OrderState::Taken, None));
        let done = order(OrderState::Taken, Some("completed"));
        let unseen = "silent since 14:02, 3m; what it does since then is not known";
        for (before, next, expected) in [
            (None, &open, Some("ordered".to_owned())),
            (
                None,
                &away(&open),
                Some("silent since 14:02, 3m; its order waits for it, 23h at most".to_owned()),
            ),
            (Some(&open), &going, Some("taken".to_owned())),
            (Some(&going), &going, None),
            (Some(&going), &away(&going), Some(unseen.to_owned())),
            (Some(&away(&going)), &away(&going), None),
            (Some(&open), &away(&going), Some(format!("taken; {unseen}"))),
            (Some(&away(&going)), &going, Some("online again".to_owned())),
            (
                Some(&going),
                &away(&done),
                Some("completed at 14:04:02.500, after 2.500s".to_owned()),
            ),
            (Some(&away(&done)), &done, None),
        ] {
            let expected = expected.map(|expected| format!("clinic-2: {expected}"));
            assert_eq!(news(before, next, now), expected, "{before:?} {next:?}");
        }
    }
}
