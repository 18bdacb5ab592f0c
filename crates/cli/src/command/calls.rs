//! `isonomy calls`: what was asked of models, where it went and why, and what it cost.

use base::{Clock as _, SystemClock, Timestamp};
use models::{
    Admitted, Bill, By, Charge, Corrected, End, Given, Leg, Line, Missed, OfPerson, Settled,
    Unseen, Used, Watched,
};
use wire::{CallSettle, CallView};

use super::explain::Lines;
use super::shelf::list;
use super::{api, inbox, pages};
use crate::args::Global;
use crate::args::model::{CallsArgs, CallsCommand, CallsExplain, CallsSettle, ResourceList};
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::output;
use crate::when;

/// A call as it was written down; its end is missing while it goes on.
pub struct Call {
    pub admitted: Admitted,
    pub settled: Option<Settled>,
    pub corrected: Option<Corrected>,
}

pub async fn calls(global: &Global, args: CallsArgs) -> Outcome {
    match args.command.unwrap_or(CallsCommand::List(args.list)) {
        CallsCommand::List(args) => list_calls(global, args).await,
        CallsCommand::Explain(args) => explain(global, args).await,
        CallsCommand::Settle(args) => settle(global, args).await,
        CallsCommand::Inbox(args) => inbox::inbox(global, args).await,
        CallsCommand::Answer(args) => inbox::answer(global, args).await,
        CallsCommand::LocalShare(args) => super::local_share::local_share(global, args).await,
    }
}

impl Call {
    pub fn read(view: &CallView) -> Outcome<Self> {
        let foreign = |wrong: serde_json::Error| {
            Failure::internal(format!("the call is written down in another way: {wrong}"))
                .hint("are site and command line of the same version?")
        };
        let settled = view.settled.as_ref().map(serde::Deserialize::deserialize).transpose();
        let corrected = view.corrected.as_ref().map(serde::Deserialize::deserialize).transpose();
        Ok(Self {
            admitted: serde::Deserialize::deserialize(&view.admitted).map_err(foreign)?,
            settled: settled.map_err(foreign)?,
            corrected: corrected.map_err(foreign)?,
        })
    }
}

async fn list_calls(global: &Global, args: ResourceList) -> Outcome {
    let api = api(global)?;
    let page = pages(&args.page, async |part| {
        let mut part = part;
        loop {
            let page = api.call_list(&part).await?;
            // A question looks through so many calls of all namespaces, and may find none of this one.
            if !page.items.is_empty() || page.next.is_none() {
                return Ok(page);
            }
            part.cursor = page.next;
        }
    });
    let page = page.await?;
    let calls: Vec<Call> = page.items.iter().map(Call::read).collect::<Outcome<_>>()?;
    list(&args, &page, list_text(&calls, SystemClock.now()))
}

fn list_text(calls: &[Call], now: Timestamp) -> String {
    let rows = calls.iter().map(|Call { admitted, settled, corrected }| {
        let settled = settled.as_ref();
        let cost = match corrected {
            Some(corrected) => recharged_text(corrected),
            None => settled.map_or_else(String::new, |it| cost_text(&it.bills)),
        };
        let is_estimate = admitted.watched.as_ref().is_some_and(|it| it.estimated);
        let cost = if is_estimate { format!("about {cost}") } else { cost };
        vec![
            when::age(&admitted.at.to_string(), now),
            admitted.call.to_string(),
            admitted.watched.as_ref().map_or_else(|| who_short(&admitted.who), watched_short),
            admitted.asked.to_string(),
            settled.map_or_else(String::new, went_to),
            settled.map_or("under way", |it| end_word(it.end)).to_owned(),
            cost,
            settled.map_or_else(String::new, |it| millis(it.micros)),
        ]
    });
    output::table(&["age", "call", "by", "asked", "went to", "end", "cost", "took"], rows)
}

fn who_short(who: &By) -> String {
    match (&who.key, &who.run, &who.workflow) {
        (Some(key), ..) => format!("key:{key}"),
        (None, Some(run), _) => run.to_string(),
        (None, None, workflow) => workflow.clone().unwrap_or_else(|| "folder".to_owned()),
    }
}

/// By its watch, and by the digits of its key where it had one.
fn watched_short(watched: &Watched) -> String {
    match &watched.client {
        Some(client) => format!("watch:{}/{client}", watched.by),
        None => format!("watch:{}", watched.by),
    }
}

/// What was seen of a call that was only watched.
fn watched_text(watched: &Watched, lines: &mut Lines) {
    let what = "on its way: nothing was held, hidden or refused, and its cost is on another's bill";
    lines.add("watched", what);
    if let Some(found) = &watched.found {
        lines.add("found", &format!("in the request: {}", hidden_text(found)));
    }
    if watched.estimated {
        lines.add("estimated", "its answer does not say what was used");
    }
    if let Some(unseen) = watched.unseen {
        let why = match unseen {
            Unseen::TooLarge => "it is larger than what is copied",
            Unseen::Full => "copies of other calls took all the room",
            Unseen::Unreadable => "it is not what its path promises",
            Unseen::Packed => "it is packed in a way that is not read here",
        };
        lines.add("not looked at", why);
    }
}

async fn explain(global: &Global, args: CallsExplain) -> Outcome {
    let view = api(global)?.call_show(args.call).await?;
    let call = Call::read(&view)?;
    output::show(args.output.output, &view, || explain_text(&call, SystemClock.now()))?;
    Ok(Exit::Ok)
}

fn explain_text(call: &Call, now: Timestamp) -> String {
    let Call { admitted, settled, corrected } = call;
    let mut lines = Lines::default();
    lines.add("call", &admitted.call.to_string());
    let at = admitted.at.to_string();
    let age = when::age(&at, now);
    let who = admitted.watched.as_ref().map_or_else(
        || who_text(&admitted.who),
        |it| format!("`{}`, in `{}`", watched_short(it), admitted.who.namespace),
    );
    lines.add("asked", &format!("{at}, {age} ago, by {who}"));
    let streamed = if admitted.streamed { ", as a stream" } else { "" };
    lines.add("for", &format!("{} of `{}`{streamed}", admitted.operation.as_str(), admitted.asked));
    if let Some(watched) = &admitted.watched {
        watched_text(watched, &mut lines);
    }
    let plan: Vec<&str> = admitted.plan.iter().map(models::ModelName::as_str).collect();
    lines.add("planned", &plan.join(", then "));
    let held: Vec<String> = admitted.held.iter().map(line_text).collect();
    lines.add("held", &held.join("; "));
    match settled {
        None => lines.add("state", "under way: nothing is known of its end yet"),
        Some(settled) => settled_text(settled, corrected.as_ref(), now, &mut lines),
    }
    lines.0
}

/// Somebody knows what it has cost.
async fn settle(global: &Global, args: CallsSettle) -> Outcome {
    let CallsSettle { call, cost, free, reason, output } = args;
    let api = api(global)?;
    let view = api.call_settle(call, &CallSettle { cost, free, reason }).await?;
    let call = Call::read(&view)?;
    output::show(output.output, &view, || explain_text(&call, SystemClock.now()))?;
    Ok(Exit::Ok)
}

/// What it has cost, where that was said later.
fn recharged_text(corrected: &Corrected) -> String {
    let costs = corrected.bills.iter().map(|bill| bill.cost);
    let costs: Vec<String> =
        costs.filter(|it| it.amount.pico() > 0).map(|it| it.to_string()).collect();
    if costs.is_empty() { "free".to_owned() } else { costs.join(" + ") }
}

fn who_text(who: &By) -> String {
    let namespace = &who.namespace;
    match (&who.key, &who.run, &who.workflow) {
        (Some(key), ..) => format!("the key `{key}`, in `{namespace}`"),
        (None, Some(run), Some(workflow)) => format!("{run} of `{namespace}/{workflow}`"),
        (None, Some(run), None) => format!("{run}, in `{namespace}`"),
        (None, None, _) => format!("whoever may read the site's folder, in `{namespace}`"),
    }
}

fn settled_text(
    settled: &Settled,
    corrected: Option<&Corrected>,
    now: Timestamp,
    lines: &mut Lines,
) {
    let state = match settled.end {
        End::Answered => "answered",
        End::Refused => "refused by the model's server: the request is wrong",
        End::Failed => "failed: no model has answered",
        End::Withheld => "withheld: the answer holds what it must not, by the rules of the model",
        End::Left => "the client has gone before the end",
        End::Unknown if settled.repeated_by.is_some() => {
            "unknown: the site stopped before the call ended, and its run has asked again"
        }
        End::Unknown => {
            "unknown: the site stopped before the call ended, so it is paid at its bound"
        }
    };
    lines.add("state", state);
    if let Some(call) = settled.repeated_by {
        lines.add("repeated", &format!("by {call}, which has taken over what this one held"));
    }
    if let Some(call) = settled.cached_from {
        lines.add("from", &format!("the answer of {call}, given again"));
    }
    if settled.degraded {
        lines.add("degraded", degraded_text(settled.resort));
    }
    if let Some(OfPerson { question, by }) = &settled.person {
        let text = match by {
            Some(by) => format!("{by} has answered or declined: {question}"),
            None => format!("asked, and not heard in time: {question} is in the inbox"),
        };
        lines.add("person", &text);
    }
    let charged: Vec<String> = settled.charged.iter().map(line_text).collect();
    lines.add("charged", &charged.join("; "));
    for bill in &settled.bills {
        let usage = bill.usage.as_ref().map_or_else(|| "usage unknown".to_owned(), used_text);
        lines.add("used", &format!("{}: {usage}; {}", bill.model, bill_text(bill)));
        let charge = |it: &Charge| format!("{} {} {}", it.count, it.class.title(), it.cost.exact());
        let parts: Vec<String> = bill.lines.iter().map(charge).collect();
        if let Some(price) = &bill.price {
            let list = if price.is_own() { "its definition" } else { "the catalogue" };
            let of = format!("by {list}, {}: {}", price.version, parts.join("; "));
            lines.add("priced", &of);
        }
    }
    if let Some(corrected) = corrected {
        let Corrected { at, by, reason, charged, .. } = corrected;
        let age = when::age(&at.to_string(), now);
        let cost = recharged_text(corrected);
        lines.add("settled", &format!("it has cost {cost}, says {by} {age} ago: {reason}"));
        let lines_now: Vec<String> = charged.iter().map(|it| line_text(&it.line)).collect();
        lines.add("so charged", &lines_now.join("; "));
    }
    if !settled.hidden.is_empty() {
        lines.add("hidden", &format!("in the answer: {}", hidden_text(&settled.hidden)));
    }
    lines.add("took", &took_text(settled));
    let legs = settled.legs.iter().enumerate();
    let legs: Vec<String> = legs.map(|(at, leg)| format!("{} {}", at + 1, leg_text(leg))).collect();
    if !legs.is_empty() {
        lines.part("tried", &legs.join("\n"));
    }
}

const fn degraded_text(given: Option<Given>) -> &'static str {
    match given {
        None => "the answer is not from the model that was to be first",
        Some(Given::Unsure) => "no model has a better answer than one that is not good enough",
        Some(Given::Cached) => "no model has answered: an answer from before was given",
        Some(Given::Rule) => "no model has answered: a text of the route was given",
        Some(Given::Person) => "no model has answered as the route asks: a person has",
    }
}

/// Who has answered; where nobody has, who was tried last.
fn went_to(settled: &Settled) -> String {
    if let Some(given) = settled.resort.filter(|it| *it != Given::Unsure) {
        return format!("({})", given.as_str());
    }
    match (settled.answering().or(settled.legs.last()), settled.cached_from) {
        (Some(leg), _) => leg.model.to_string(),
        (None, Some(_)) => format!("({})", Given::Cached.as_str()),
        (None, None) => String::new(),
    }
}

fn leg_text(leg: &Leg) -> String {
    let status = leg.status.map(|status| format!("{status} after ")).unwrap_or_default();
    let took = format!("{status}{}", millis(leg.micros));
    let hidden = leg.hidden.as_ref().map(|it| format!("; hidden: {}", hidden_text(it)));
    let took = took + &hidden.unwrap_or_default();
    match leg.why {
        None => format!("{}: answered, {took}", leg.model),
        Some(why) => {
            let cause = leg.cause.as_ref().map(|cause| format!(": {cause}")).unwrap_or_default();
            format!("{}: left, {}{cause} ({took})", leg.model, missed_text(why))
        }
    }
}

/// `email 2, name 1`.
fn hidden_text(hidden: &models::Hidden) -> String {
    let all: Vec<String> = hidden.iter().map(|(class, count)| format!("{class} {count}")).collect();
    if all.is_empty() { "nothing was found".to_owned() } else { all.join(", ") }
}

const fn missed_text(why: Missed) -> &'static str {
    match why {
        Missed::Outage => "it has failed and rests: nothing was sent",
        Missed::RateLimit => "it has asked to be left alone: nothing was sent",
        Missed::Credentials => "the secret for it is missing, or it does not take it",
        Missed::Payment => "it is not paid",
        Missed::Busy => "as many calls as it takes were under way",
        Missed::Denied => "no rule of the site lets calls out to it",
        Missed::Unreachable => "no connection to it",
        Missed::Silent => "it said nothing in time",
        Missed::Broken => "its answer broke off, or is none",
        Missed::TooLarge => "its answer is too large",
        Missed::Status => "it failed, by the status of its answer",
        Missed::NotFound => "it knows no such model, or does not answer at this address",
        Missed::Redirected => "it points to another address, which is not followed",
        Missed::Memory => "other models hold the memory that models may have",
        Missed::Budget => "a budget has no room for it",
        Missed::Protected => {
            "the rules of the site let it see none of the request: nothing was sent"
        }
        Missed::Dialect => "it cannot be asked this in its own dialect: nothing was sent",
        Missed::Unsure => "its answer is not good enough, by its route",
        Missed::Unjudged => "nobody could judge its answer as its route asks: nothing was sent",
        Missed::Retries => "too many calls of its route are tried again: nothing was sent",
        Missed::Slower => "another model was faster",
        Missed::Absent => "there is no model of this name",
        Missed::Left => "the client had left: nothing was sent",
    }
}

fn line_text(line: &Line) -> String {
    format!("{} of {} by the {}", line.amount, line.holder.to_text(), line.period.name())
}

pub fn used_text(used: &Used) -> String {
    let Used { input, cached, output, reasoning, images, millis } = used;
    if input + output + images == 0 && *millis > 0 {
        return format!("{millis} ms of a device");
    }
    let part = |count: u64, what: &str| (count > 0).then(|| format!(" ({count} {what})"));
    let mut text = format!(
        "{input} tokens in{}, {output} out{}",
        part(*cached, "cached").unwrap_or_default(),
        part(*reasoning, "reasoning").unwrap_or_default()
    );
    if *images > 0 {
        text.push_str(&format!(", {images} images"));
    }
    text
}

fn bill_text(bill: &Bill) -> String {
    match (&bill.cost, bill.is_bound) {
        (None, _) if bill.is_free => "free".to_owned(),
        (Some(cost), false) => cost.to_string(),
        (Some(cost), true) => format!("{cost}, the most that it may have been"),
        (None, _) => "without a price".to_owned(),
    }
}

pub fn cost_text(bills: &[Bill]) -> String {
    let costs: Vec<String> = bills.iter().map(bill_text).collect();
    costs.join(" + ")
}

fn took_text(settled: &Settled) -> String {
    let upstream: u64 = settled.legs.iter().map(|leg| leg.micros).sum();
    let first = settled.first_micros.map(|it| format!("; first byte after {}", millis(it)));
    format!(
        "{}: {} here, {} at models{}",
        millis(settled.micros),
        millis(settled.own_micros),
        millis(upstream),
        first.unwrap_or_default()
    )
}

pub const fn end_word(end: End) -> &'static str {
    match end {
        End::Answered => "answered",
        End::Refused => "refused",
        End::Failed => "failed",
        End::Withheld => "withheld: the answer holds what it must not, by the rules of the model",
        End::Left => "left",
        End::Unknown => "unknown",
    }
}

/// Below ten milliseconds the tenths say something.
pub fn millis(micros: u64) -> String {
    match micros {
        0..10_000 => format!("{}.{} ms", micros / 1_000, micros % 1_000 / 100),
        _ => format!("{} ms", micros / 1_000),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const CALL: &str = "call_01a1fb7b-d522-7414-8c47-aa7df2bebacf";

    fn call(settled: Value) -> Call {
        let admitted = json!({
            "v": 1, "call": CALL, "at": "2027-01-15T07:59:00.000Z",
            "namespace": "sales", "key": "bot", "operation": "chat", "asked": "best",
            "plan": ["large", "small"], "streamed": true,
            "held": [{"holder": "namespace/sales", "period": "month", "window": "2027-01-01T00:00:00.000Z", "amount": "0.02 EUR"}],
        });
        let settled = Some(settled).filter(|it| !it.is_null());
        Call::read(&CallView { admitted, settled, corrected: None }).expect("a call")
    }

    fn now() -> Timestamp {
        Timestamp::parse("2027-01-15T08:00:00.000Z").expect("a time")
    }

    /// Mutation: leave out why a model was left, what was held, or that the answer is a fallback.
    #[test]
    fn a_call_says_where_it_went_and_why() {
        let call = call(json!({
            "v": 1, "call": CALL, "at": "2027-01-15T07:59:01.000Z", "end": "answered",
            "legs": [
                {"model": "large", "status": 503, "why": "status", "micros": 12_000},
                {"model": "small", "status": 200, "micros": 300_000},
            ],
            "bills": [{"model": "small", "usage": {"input": 12, "cached": 3, "output": 5}, "cost": "0.0012 EUR"}],
            "charged": [{"holder": "namespace/sales", "period": "month", "window": "2027-01-01T00:00:00.000Z", "amount": "0.0012 EUR"}],
            "degraded": true, "micros": 312_400, "ownMicros": 400, "firstMicros": 120_000,
        }));
        assert_eq!(
            explain_text(&call, now()),
            format!(
                "call         {CALL}\n\
                 asked        2027-01-15T07:59:00.000Z, 60s ago, by the key `bot`, in `sales`\n\
                 for          chat of `best`, as a stream\n\
                 planned      large, then small\n\
                 held         0.02 EUR of namespace/sales by the month\n\
                 state        answered\n\
                 degraded     the answer is not from the model that was to be first\n\
                 charged      0.0012 EUR of namespace/sales by the month\n\
                 used         small: 12 tokens in (3 cached), 5 out; 0.0012 EUR\n\
                 took         312 ms: 0.4 ms here, 312 ms at models; first byte after 120 ms\n\
                 \ntried\n  1 large: left, it failed, by the status of its answer (503 after 12 ms)\n  2 small: answered, 200 after 300 ms\n"
            )
        );
        let text = list_text(&[call], now());
        let row = text.lines().nth(1).expect("a row");
        assert_eq!(
            row,
            format!("60s  {CALL}  key:bot  best   small    answered  0.0012 EUR  312 ms")
        );
    }

    /// Mutation: leave out a part of a cost, or which price it was.
    #[test]
    fn a_cost_says_what_it_is_made_of() {
        let version = format!("b3:{}", "0".repeat(64));
        let call = call(json!({
            "v": 1, "call": CALL, "at": "2027-01-15T07:59:01.000Z", "end": "answered", "legs": [],
            "bills": [{"model": "small", "usage": {"input": 12, "output": 5}, "cost": "0.00022 EUR",
                "lines": [{"class": "input", "count": 12, "cost": "0.00012 EUR"},
                    {"class": "output", "count": 5, "cost": "0.0001 EUR"}],
                "price": {"provider": "own", "model": "small", "version": version}}],
            "charged": [], "micros": 400, "ownMicros": 400,
        }));
        let wanted = format!(
            "priced       by its definition, {version}: 12 Input Tokens 0.00012 EUR; 5 Output Tokens 0.0001 EUR"
        );
        let text = explain_text(&call, now());
        assert!(text.contains(&wanted), "{text}");
    }

    /// Mutation: show the bound in the list though somebody knows the cost, or leave out who says so and why.
    #[test]
    fn a_call_that_was_settled_later_says_what_it_has_cost() {
        let lost = json!({
            "v": 1, "call": CALL, "at": "2027-01-15T07:59:01.000Z", "end": "left", "legs": [],
            "bills": [{"model": "small", "cost": "0.5 EUR", "isBound": true}],
            "charged": [], "micros": 400, "ownMicros": 400,
        });
        let corrected = json!({
            "v": 1, "call": CALL, "at": "2027-01-15T07:59:58.000Z", "by": "key:ann",
            "reason": "the bill of May", "admitted": "2027-01-15T07:59:00.000Z",
            "namespace": "sales", "operation": "chat",
            "bills": [{"model": "small", "was": "0.5 EUR", "cost": "0.12 EUR"}],
            "charged": [{"holder": "namespace/sales", "period": "month", "window": "2027-01-01T00:00:00.000Z", "amount": "0.12 EUR", "was": "0.5 EUR"}],
        });
        let corrected = serde_json::from_value(corrected).expect("an entry");
        let call = Call { corrected: Some(corrected), ..call(lost) };
        let text = explain_text(&call, now());
        for wanted in [
            "small: usage unknown; 0.50 EUR, the most that it may have been",
            "settled      it has cost 0.12 EUR, says key:ann 2s ago: the bill of May",
            "so charged   0.12 EUR of namespace/sales by the month",
        ] {
            assert!(text.contains(wanted), "{wanted}\n{text}");
        }
        let list = list_text(&[call], now());
        assert!(list.contains("0.12 EUR") && !list.contains("0.50 EUR"), "{list}");
    }

    /// Mutation: name whoever was tried last though another one, or none, has answered.
    #[test]
    fn a_call_went_to_whoever_has_answered() {
        let unsure = json!({"model": "a", "status": 200, "why": "unsure", "micros": 1});
        let down = json!({"model": "b", "why": "outage", "micros": 0});
        let good = json!({"model": "c", "status": 200, "micros": 1});
        for (legs, more, expected) in [
            (json!([down, good]), json!({}), "c"),
            (json!([unsure, down]), json!({"resort": "unsure"}), "a"),
            (json!([down]), json!({"resort": "rule"}), "(rule)"),
            (json!([down]), json!({"end": "failed"}), "b"),
            (json!([]), json!({"cachedFrom": CALL}), "(cached)"),
            (json!([]), json!({"end": "failed"}), ""),
        ] {
            let mut settled = json!({"v": 1, "call": CALL, "at": "2027-01-15T07:59:01.000Z", "end": "answered", "legs": legs, "micros": 1, "ownMicros": 1});
            for (name, value) in more.as_object().into_iter().flatten() {
                settled[name] = value.clone();
            }
            let settled = call(settled).settled.expect("it has ended");
            assert_eq!(went_to(&settled), expected, "{settled:?}");
        }
    }

    /// Mutation: take a call without an end for one that has failed.
    #[test]
    fn a_call_under_way_says_so() {
        let call = call(Value::Null);
        assert!(explain_text(&call, now()).contains("state        under way"));
        assert!(list_text(&[call], now()).contains("under way"));
    }
}
