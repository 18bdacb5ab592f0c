//! `isonomy usage`: what calls to models have used and cost.

use base::{Clock as _, SystemClock};
use wire::{UsageList, UsageRow};

use super::api;
use crate::args::Global;
use crate::args::model::UsageArgs;
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::output;
use crate::when;

/// What every row has.
const COUNTS: [&str; 7] = ["calls", "failed", "fallback", "input", "cached", "output", "cost"];

pub async fn usage(global: &Global, args: UsageArgs) -> Outcome {
    if global.given.is_some() {
        let what = "usage is told of all namespaces that the key may see";
        return Err(Failure::usage(what).hint("`--by namespace` tells them apart"));
    }
    let since = args.since.map(|since| when::since(&since, SystemClock.now())).transpose()?;
    let usage = api(global)?.usage_list(&args.by, since.as_deref()).await?;
    output::show(args.output.output, &usage, || text(&usage, &args.by))?;
    if !usage.total.at_bound.is_empty() {
        output::say(&format!(
            "of it {} as the most that it may have been: nobody knows how these calls have ended",
            usage.total.at_bound.join(" + ")
        ));
    }
    Ok(Exit::Ok)
}

fn text(usage: &UsageList, by: &str) -> String {
    let by: Vec<&str> = by.split(',').map(str::trim).collect();
    let group = |row: &UsageRow| {
        let value = |name: &&str| row.group.get(*name).filter(|it| !it.is_empty()).cloned();
        by.iter().map(|name| value(name).unwrap_or_else(|| "-".to_owned())).collect::<Vec<_>>()
    };
    let mut rows: Vec<_> =
        usage.items.iter().map(|row| [group(row), counts(row)].concat()).collect();
    let mut last = vec![String::new(); by.len()];
    "total".clone_into(&mut last[0]);
    rows.push([last, counts(&usage.total)].concat());
    output::table(&[&by[..], &COUNTS].concat(), rows)
}

fn counts(row: &UsageRow) -> Vec<String> {
    let mut cost = row.cost.clone();
    if row.unpriced > 0 {
        cost.push(format!("{} without a price", row.unpriced));
    }
    let numbers = [
        row.calls,
        row.failed,
        row.degraded,
        row.input_tokens,
        row.cached_tokens,
        row.output_tokens,
    ];
    let mut cells: Vec<String> = numbers.iter().map(u64::to_string).collect();
    cells.push(cost.join(" + "));
    cells
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(group: &[(&str, &str)], calls: u64, cost: &[&str], unpriced: u64) -> UsageRow {
        UsageRow {
            group: group.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
            calls,
            input_tokens: calls * 10,
            output_tokens: calls,
            cost: cost.iter().map(|&it| it.to_owned()).collect(),
            unpriced,
            ..UsageRow::default()
        }
    }

    /// Mutation: tell rows apart in another order than asked, add up rows in place of the site's total, or
    /// take what has no price for free.
    #[test]
    fn rows_stand_as_they_were_asked_for_with_a_total_below() {
        let usage = UsageList {
            items: vec![
                row(&[("model", "chat"), ("key", "bot")], 3, &["0.12 EUR"], 0),
                row(&[("model", "own"), ("key", "")], 1, &[], 1),
            ],
            total: row(&[], 4, &["0.12 EUR"], 1),
        };
        assert_eq!(
            text(&usage, "model, key"),
            "MODEL  KEY  CALLS  FAILED  FALLBACK  INPUT  CACHED  OUTPUT  COST\n\
             chat   bot  3      0       0         30     0       3       0.12 EUR\n\
             own    -    1      0       0         10     0       1       1 without a price\n\
             total       4      0       0         40     0       4       0.12 EUR + 1 without a price"
        );
    }
}
