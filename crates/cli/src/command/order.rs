//! `isonomy run --site`: has sites of the hub's fleet start a run each, and says what becomes of it.

use base::{Clock as _, SystemClock, Timestamp};
use serde_json::Value;
use wire::{OrderCreate, OrderState, OrderView, Page, RunStart};

use super::hub_api;
use super::run::Target;
use crate::api::Api;
use crate::args::{Global, RunArgs};
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::interrupt::Interrupt;
use crate::output::{self, Format};
use crate::{input, when};

/// How long the hub is asked to wait for something new of one order, before all are looked at again.
const WAIT_SECONDS: u64 = 2;

pub async fn run(global: &Global, args: RunArgs) -> Outcome {
    let Target::Name(workflow) = Target::parse(&args.target)? else {
        return Err(Failure::usage("a file cannot be run at other sites".to_owned())
            .hint("apply it at the sites, and name the workflow here"));
    };
    let input: Value = input::read(&args.input)?;
    let ttl = when::length(&args.ttl)?;
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
        sites: args.site.iter().map(ToString::to_string).collect(),
        tags: args.r#where.into_iter().collect(),
        all: args.all,
        namespace: global.namespace.to_string(),
        start,
        ttl_seconds: Some(ttl.as_millis() / 1000),
    };
    let api = hub_api(global)?;
    let mut interrupt = Interrupt::typed()?;
    let mut orders = api.order_create(&ask).await?.items;
    super::recovery::say_if_on(&api).await?;
    let now = SystemClock.now();
    orders.iter().for_each(|order| say(order, now));
    let mut is_interrupted = false;
    if !args.detach {
        tokio::select! {
            followed = follow(&api, &mut orders) => followed?,
            () = interrupt.wait() => is_interrupted = true,
        }
    }
    let code = exit(&orders);
    let page = Page { items: orders, next: None };
    output::show(args.output.unwrap_or(Format::Text), &page, || text(&page.items))?;
    if is_interrupted {
        output::say("the orders stand; the sites go on");
        return Ok(Exit::Interrupted);
    }
    Ok(if args.detach { Exit::Ok } else { code })
}

/// Until nothing more is to be expected of any of them. A site that is silent holds up no word of the
/// others.
async fn follow(api: &Api, orders: &mut [OrderView]) -> Outcome<()> {
    let mut wait = 0;
    loop {
        let mut is_first = true;
        let mut has_changed = false;
        for order in orders.iter_mut().filter(|order| !is_over(order)) {
            let patience = if std::mem::take(&mut is_first) { wait } else { 0 };
            let next = api.order_show(&order.order, patience).await?;
            if next != *order {
                *order = next;
                has_changed = true;
                say(order, SystemClock.now());
            }
        }
        if is_first {
            return Ok(());
        }
        wait = if has_changed { 0 } else { WAIT_SECONDS };
    }
}

fn is_over(order: &OrderView) -> bool {
    match order.state {
        OrderState::Open => false,
        OrderState::Taken => order.outcome.is_some(),
        OrderState::Refused | OrderState::Expired | OrderState::Unknown => true,
    }
}

fn say(order: &OrderView, now: Timestamp) {
    let OrderView { site, until, is_online, .. } = order;
    let what = what(order);
    let left = when::until(until, now);
    output::say(&match (order.state, is_online) {
        (OrderState::Open, false) => {
            format!("{site}: silent; its order waits for it, {left} at most")
        }
        (OrderState::Open, true) => format!("{site}: ordered"),
        _ => format!("{site}: {what}"),
    });
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
        (None, OrderState::Unknown) => {
            "unknown: its time is over, and nothing was heard".to_owned()
        }
    }
}

/// The worst of all.
fn exit(orders: &[OrderView]) -> Exit {
    let has_completed = |order: &OrderView| {
        order.outcome.as_ref().is_some_and(|outcome| outcome.state == "completed")
    };
    if orders.iter().all(has_completed) { Exit::Ok } else { Exit::Faulted }
}

fn text(orders: &[OrderView]) -> String {
    let rows = orders.iter().map(|order| vec![order.site.clone(), order.run.clone(), what(order)]);
    output::table(&["site", "run", "what"], rows)
}

#[cfg(test)]
mod tests {
    use wire::OutcomeView;

    use super::*;

    fn order(state: OrderState, ended: Option<&str>) -> OrderView {
        let text = || "x".to_owned();
        let outcome = ended.map(|ended| OutcomeView {
            state: ended.to_owned(),
            started_at: text(),
            ended_at: text(),
            error: (ended == "faulted").then(|| "timeout".to_owned()),
        });
        OrderView {
            order: text(),
            site: "clinic-1".to_owned(),
            run: text(),
            state,
            code: (state == OrderState::Refused).then(|| "workflow-missing".to_owned()),
            given_at: text(),
            until: text(),
            outcome,
            is_online: true,
        }
    }

    /// Mutation: call it success where one site has refused or faulted, or wait for one that has refused.
    #[test]
    fn all_must_complete_and_each_is_told() {
        let done = order(OrderState::Taken, Some("completed"));
        let faulted = order(OrderState::Taken, Some("faulted"));
        let refused = order(OrderState::Refused, None);
        let going = order(OrderState::Taken, None);
        assert_eq!(exit(&[done.clone(), done.clone()]), Exit::Ok);
        for other in [&faulted, &refused, &going] {
            assert_eq!(exit(&[done.clone(), other.clone()]), Exit::Faulted);
        }
        assert_eq!(what(&faulted), "faulted with timeout");
        assert_eq!(what(&refused), "refused: workflow-missing");
        assert!(is_over(&refused) && is_over(&done) && !is_over(&going));
    }
}
