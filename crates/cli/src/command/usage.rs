//! `isonomy usage`: what calls to models have used and cost.

use std::io::Write as _;
use std::path::Path;

use base::{Clock as _, SystemClock};
use futures::StreamExt as _;
use wire::{UsageList, UsageRow};

use super::{any_api, api};
use crate::args::Global;
use crate::args::model::{UsageArgs, UsageFormat};
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::output::{self, Format};
use crate::when;

/// What every row has.
const COUNTS: [&str; 7] = ["calls", "failed", "fallback", "input", "cached", "output", "cost"];

/// What is told apart where nobody says.
const BY: &str = "namespace,model";

pub async fn usage(global: &Global, args: UsageArgs) -> Outcome {
    if global.given.is_some() {
        let what = "usage is told of all namespaces that the key may see";
        return Err(Failure::usage(what).hint("`--by namespace` tells them apart"));
    }
    let time =
        |text: Option<String>| text.map(|text| when::since(&text, SystemClock.now())).transpose();
    let since = time(args.since)?;
    match args.format {
        UsageFormat::Focus if args.by.is_some() || args.output.output != Format::Text => {
            return Err(Failure::usage("`--by` and `-o` go with `--format table`"));
        }
        UsageFormat::Focus => {
            let until = time(args.until)?;
            return focus(global, since.as_deref(), until.as_deref(), args.out.as_deref()).await;
        }
        UsageFormat::Table if args.until.is_some() || args.out.is_some() => {
            return Err(Failure::usage("`--until` and `--out` go with `--format focus`"));
        }
        UsageFormat::Table => {}
    }
    let by = args.by.as_deref().unwrap_or(BY);
    let usage = any_api(global)?.usage_list(by, since.as_deref()).await?;
    output::show(args.output.output, &usage, || text(&usage, by))?;
    if !usage.total.at_bound.is_empty() {
        output::say(&format!(
            "of it {} as the most that it may have been: nobody knows how these calls have ended",
            usage.total.at_bound.join(" + ")
        ));
    }
    Ok(Exit::Ok)
}

/// A file is there when the table is whole.
async fn focus(
    global: &Global,
    since: Option<&str>,
    until: Option<&str>,
    out: Option<&Path>,
) -> Outcome {
    let api = api(global)?;
    let table = api.usage_focus(since, until).await;
    let mut table = table.map_err(|error| api.explain(error))?;
    let Some(out) = out else {
        while let Some(piece) = table.next().await.transpose()? {
            output::write_bytes(&piece)?;
        }
        return Ok(Exit::Ok);
    };
    let failed = |what: &str, error: std::io::Error| {
        Failure::usage(format!("cannot {what} `{}`: {error}", out.display()))
    };
    let folder = out.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let file = tempfile::NamedTempFile::new_in(folder);
    let mut file = file.map_err(|error| failed("write", error))?;
    let mut rows = 0;
    while let Some(piece) = table.next().await.transpose()? {
        rows += piece.iter().filter(|byte| **byte == b'\n').count();
        file.write_all(&piece).map_err(|error| failed("write", error))?;
    }
    file.persist(out).map_err(|error| failed("write", error.error))?;
    // The first line has the names of the columns.
    let rows = rows.saturating_sub(1);
    output::say(&format!("{rows} rows of FOCUS 1.2 are in `{}`", out.display()));
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
    // All that was asked is free.
    if cost.is_empty() {
        cost.push("0".to_owned());
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
    /// take what has no price for free, or the other way round.
    #[test]
    fn rows_stand_as_they_were_asked_for_with_a_total_below() {
        let usage = UsageList {
            items: vec![
                row(&[("model", "chat"), ("key", "bot")], 3, &["0.12 EUR"], 0),
                row(&[("model", "own"), ("key", "")], 1, &[], 1),
                row(&[("model", "free"), ("key", "")], 1, &[], 0),
            ],
            total: row(&[], 5, &["0.12 EUR"], 1),
        };
        assert_eq!(
            text(&usage, "model, key"),
            "MODEL  KEY  CALLS  FAILED  FALLBACK  INPUT  CACHED  OUTPUT  COST\n\
             chat   bot  3      0       0         30     0       3       0.12 EUR\n\
             own    -    1      0       0         10     0       1       1 without a price\n\
             free   -    1      0       0         10     0       1       0\n\
             total       5      0       0         50     0       5       0.12 EUR + 1 without a price"
        );
    }
}
