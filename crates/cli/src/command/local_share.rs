//! `isonomy calls local-share`: what share of the calls that went elsewhere a model at the site could have
//! answered.

use std::collections::BTreeMap;

use base::{Clock as _, SystemClock};
use wire::{LocalShare, LocalShareRow};

use super::any_api;
use crate::args::Global;
use crate::args::model::CallsLocalShare;
use crate::exit::Exit;
use crate::failure::Outcome;
use crate::output;
use crate::when;

const COUNTS: [&str; 8] =
    ["calls", "tokens", "cost", "local", "of calls", "of tokens", "of cost", "why not"];

pub async fn local_share(global: &Global, args: CallsLocalShare) -> Outcome {
    let since = args.since.map(|text| when::since(&text, SystemClock.now())).transpose()?;
    let is_so = |said: bool| said.then(|| "true".to_owned());
    let asked = [
        ("namespace", global.given.as_ref().map(ToString::to_string)),
        ("by", Some(args.by.clone())),
        ("since", since),
        ("contextTokens", args.context_tokens.map(|it| it.to_string())),
        ("tools", is_so(args.tools)),
        ("images", is_so(args.images)),
        ("schema", is_so(args.schema)),
    ];
    let share = any_api(global)?.local_share(&asked).await?;
    output::show(args.output.output, &share, || text(&share, &args.by))?;
    notes(&share).iter().for_each(|note| output::say(note));
    Ok(Exit::Ok)
}

fn text(share: &LocalShare, by: &str) -> String {
    let by: Vec<&str> = by.split(',').map(str::trim).collect();
    let group = |row: &LocalShareRow| {
        let value = |name: &&str| row.group.get(*name).filter(|it| !it.is_empty()).cloned();
        by.iter().map(|name| value(name).unwrap_or_else(|| "-".to_owned())).collect::<Vec<_>>()
    };
    let counted = share.items.iter().filter(|row| row.calls > 0);
    let mut rows: Vec<_> = counted.map(|row| [group(row), counts(row)].concat()).collect();
    let mut last = vec![String::new(); by.len()];
    "total".clone_into(&mut last[0]);
    rows.push([last, counts(&share.total)].concat());
    output::table(&[&by[..], &COUNTS].concat(), rows)
}

fn counts(row: &LocalShareRow) -> Vec<String> {
    let percent = |percent: u32| format!("{percent} %");
    vec![
        row.calls.to_string(),
        row.tokens.to_string(),
        row.cost.join(" + "),
        row.local.calls.to_string(),
        percent(row.local.percent_of_calls),
        percent(row.local.percent_of_tokens),
        row.local.percent_of_cost.map(percent).unwrap_or_default(),
        named(&row.why),
    ]
}

/// `email 2, name 1`.
fn named(counts: &BTreeMap<String, u64>) -> String {
    let all: Vec<String> = counts.iter().map(|(what, count)| format!("{what} {count}")).collect();
    all.join(", ")
}

/// What the table does not say, and what it stands on.
fn notes(share: &LocalShare) -> Vec<String> {
    let total = &share.total;
    let mut notes = vec![match &share.models[..] {
        [] => {
            "there is no model at the site to judge by: `isonomy models add` names one".to_owned()
        }
        models => format!("judged by what these say of themselves: {}", models.join(", ")),
    }];
    if !total.local.cost.is_empty() {
        let here = match &total.local.cost_here[..] {
            [] => "nothing that has a price".to_owned(),
            here => here.join(" + "),
        };
        notes.push(format!(
            "what could be local has cost {} elsewhere, and would cost {here} here",
            total.local.cost.join(" + ")
        ));
    }
    if !total.found.is_empty() {
        notes.push(format!("in watched requests there was: {}", named(&total.found)));
    }
    for (count, what) in [
        (total.estimated, "estimated: their answers do not say what was used"),
        (total.unpriced, "without a price: nobody knows what they have cost"),
        (total.unseen, "not looked at, or not at all of them"),
        (total.failed, "not counted: they had no answer"),
        (total.at_site, "not counted: they were answered at the site"),
    ] {
        if count > 0 {
            notes.push(format!("{count} calls are {what}"));
        }
    }
    if !share.is_whole {
        notes.push(format!("there are more calls: these are the ones since {}", share.since));
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::LocalPart;

    /// Mutation: leave out what was counted nowhere else, or what all stands on.
    #[test]
    fn a_share_says_what_it_stands_on() {
        let row = LocalShareRow {
            group: BTreeMap::from([("model".to_owned(), "gpt".to_owned())]),
            calls: 4,
            tokens: 200,
            cost: vec!["0.10 USD".to_owned()],
            local: LocalPart {
                calls: 3,
                tokens: 150,
                cost: vec!["0.07 USD".to_owned()],
                cost_here: Vec::new(),
                percent_of_calls: 75,
                percent_of_tokens: 75,
                percent_of_cost: Some(70),
            },
            why: BTreeMap::from([("tools".to_owned(), 1)]),
            found: BTreeMap::from([("email".to_owned(), 2)]),
            estimated: 1,
            failed: 2,
            ..LocalShareRow::default()
        };
        let share = LocalShare {
            since: "2027-01-15T08:00:00.000Z".to_owned(),
            is_whole: false,
            models: vec!["sales/small".to_owned()],
            items: vec![row.clone()],
            total: LocalShareRow { group: BTreeMap::new(), ..row },
        };
        assert_eq!(
            text(&share, "model"),
            "MODEL  CALLS  TOKENS  COST      LOCAL  OF CALLS  OF TOKENS  OF COST  WHY NOT\n\
             gpt    4      200     0.10 USD  3      75 %      75 %       70 %     tools 1\n\
             total  4      200     0.10 USD  3      75 %      75 %       70 %     tools 1"
        );
        assert_eq!(
            notes(&share),
            [
                "judged by what these say of themselves: sales/small",
                "what could be local has cost 0.07 USD elsewhere, and would cost nothing that has a price here",
                "in watched requests there was: email 2",
                "1 calls are estimated: their answers do not say what was used",
                "2 calls are not counted: they had no answer",
                "there are more calls: these are the ones since 2027-01-15T08:00:00.000Z",
            ]
        );
    }
}
