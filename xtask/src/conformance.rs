//! `cargo xtask conformance`: runs the language's conformance kit through the command line and says
//! what came of it, scenario by scenario.
//!
//! The runs are a test of `cli` (`tests/conformance`), so that the same command, site and stand-ins
//! serve here and in `cargo xtask test`; this asks that test for its report.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, ensure};
use serde_json::{Value, json};

use crate::test::cargo;
use crate::tree;

/// As in `crates/cli/tests/conformance`.
const REPORT_VARIABLE: &str = "ISONOMY_CONFORMANCE_REPORT";

/// What the kit was taken from.
const SOURCE: &str = "testing/conformance/README.md";

#[derive(Debug, Default, PartialEq, Eq)]
pub struct Options {
    pub is_json: bool,
}

impl Options {
    pub fn parse(flags: &[&str]) -> Result<Self, String> {
        match flags {
            [] => Ok(Self::default()),
            ["-o" | "--output", "json"] => Ok(Self { is_json: true }),
            _ => Err(format!("`conformance` takes `-o json`, not `{}`", flags.join(" "))),
        }
    }
}

/// One run of one scenario.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Row {
    scenario: (String, String),
    form: String,
    /// Why it failed.
    why: Option<String>,
}

pub fn run(options: &Options) -> anyhow::Result<()> {
    let folder = tree::root().join("target");
    std::fs::create_dir_all(&folder).context("cannot make the folder of the report")?;
    let file = folder.join("conformance.json");
    // A report of yesterday must not pass for today's.
    let _ = std::fs::remove_file(&file);
    let arguments =
        ["test", "--locked", "-p", "isonomy-cli", "--test", "conformance", "--", "conformance_kit"];
    let tested = cargo()
        .args(arguments)
        .env(REPORT_VARIABLE, &file)
        .current_dir(tree::root())
        .output()
        .context("cannot start cargo")?;
    let Ok(text) = std::fs::read_to_string(&file) else {
        eprintln!("{}", String::from_utf8_lossy(&tested.stderr));
        anyhow::bail!("the kit was not run; the reason stands above");
    };
    let rows = rows(&text).context("the report of the test cannot be read")?;
    let source = tree::text(SOURCE.as_ref()).unwrap_or_default();
    let about = About { date: today(), commit: cell(&source, "commit"), of: cell(&source, "date") };
    if options.is_json {
        println!("{:#}", as_json(&rows, &about));
    } else {
        print!("{}", as_table(&rows, &about));
    }
    let failed = rows.iter().filter(|row| row.why.is_some()).count();
    ensure!(failed == 0, "{failed} of {} runs failed", rows.len());
    Ok(())
}

struct About {
    /// When it was run.
    date: String,
    commit: String,
    /// When the kit was taken.
    of: String,
}

fn rows(text: &str) -> anyhow::Result<Vec<Row>> {
    let report: Value = serde_json::from_str(text)?;
    let rows = report.as_array().context("not a list")?;
    let row = |row: &Value| {
        let text = |name: &str| row[name].as_str().map(str::to_owned);
        Some(Row {
            scenario: (text("feature")?, text("scenario")?),
            form: text("form")?,
            why: text("why"),
        })
    };
    rows.iter().map(|it| row(it).context("a row without its names")).collect()
}

/// In the order of the report: each scenario with its runs.
fn by_scenario(rows: &[Row]) -> Vec<(&(String, String), Vec<&Row>)> {
    let mut places = BTreeMap::new();
    let mut scenarios: Vec<(&(String, String), Vec<&Row>)> = Vec::new();
    for row in rows {
        let place = *places.entry(&row.scenario).or_insert(scenarios.len());
        if place == scenarios.len() {
            scenarios.push((&row.scenario, Vec::new()));
        }
        scenarios[place].1.push(row);
    }
    scenarios
}

fn as_table(rows: &[Row], about: &About) -> String {
    let scenarios = by_scenario(rows);
    let forms: Vec<&str> = scenarios
        .first()
        .map(|(_, runs)| runs.iter().map(|row| row.form.as_str()).collect())
        .unwrap_or_default();
    let mut out = format!(
        "Open Workflow conformance kit, commit {} of {}, run on {} through the command line.\n\n",
        about.commit, about.of, about.date
    );
    let line = |out: &mut String, cells: &[String]| {
        writeln!(out, "| {} |", cells.join(" | ")).expect("writing to a string");
    };
    let head = ["feature", "scenario"].into_iter().chain(forms.iter().copied());
    line(&mut out, &head.map(str::to_owned).collect::<Vec<_>>());
    line(&mut out, &vec!["---".to_owned(); forms.len() + 2]);
    for ((feature, scenario), runs) in &scenarios {
        let mut cells = vec![feature.clone(), scenario.clone()];
        cells.extend(runs.iter().map(|row| verdict(row).to_owned()));
        line(&mut out, &cells);
    }
    let mut total = vec!["**passed**".to_owned(), String::new()];
    for form in &forms {
        let of_form = rows.iter().filter(|row| row.form == *form);
        let passed = of_form.clone().filter(|row| row.why.is_none()).count();
        total.push(format!("**{passed}/{}**", of_form.count()));
    }
    line(&mut out, &total);
    for row in rows {
        if let Some(why) = &row.why {
            writeln!(out, "\n{} ({}): {why}", row.scenario.1, row.form)
                .expect("writing to a string");
        }
    }
    out
}

fn as_json(rows: &[Row], about: &About) -> Value {
    let runs: Vec<Value> = rows
        .iter()
        .map(|row| {
            json!({
                "feature": row.scenario.0, "scenario": row.scenario.1, "form": row.form,
                "passed": row.why.is_none(), "why": row.why,
            })
        })
        .collect();
    let passed = rows.iter().filter(|row| row.why.is_none()).count();
    json!({
        "date": about.date, "commit": about.commit, "commitDate": about.of,
        "passed": passed, "total": rows.len(), "runs": runs,
    })
}

const fn verdict(row: &Row) -> &'static str {
    if row.why.is_some() { "**fails**" } else { "passes" }
}

/// The second cell of the table's row that begins with this.
fn cell(page: &str, name: &str) -> String {
    let wanted = format!("| {name} | ");
    let found = page.lines().find_map(|line| line.strip_prefix(&wanted)?.strip_suffix(" |"));
    found.unwrap_or("unknown").to_owned()
}

fn today() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    date(since.as_secs() / 86_400)
}

/// Days since 1970-01-01 as a date of the Gregorian calendar, by counting whole years and months.
fn date(days: u64) -> String {
    let is_leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    let (mut year, mut left) = (1970, days);
    while left >= 365 + u64::from(is_leap(year)) {
        left -= 365 + u64::from(is_leap(year));
        year += 1;
    }
    let mut month = 1;
    for length in [31, 28 + u64::from(is_leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if left < length {
            break;
        }
        left -= length;
        month += 1;
    }
    format!("{year:04}-{month:02}-{:02}", left + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mutation: forget the leap day, or count months from nought.
    #[test]
    fn days_become_dates() {
        for (days, expected) in
            [(0, "1970-01-01"), (59, "1970-03-01"), (19_782, "2024-02-29"), (20_663, "2026-07-29")]
        {
            assert_eq!(date(days), expected);
        }
    }

    /// Mutation: count a failed run as passed, or leave its reason out.
    #[test]
    fn the_table_has_every_run_and_every_reason() {
        let text = r#"[
            {"feature": "F", "scenario": "A", "form": "as given", "passed": true, "why": null},
            {"feature": "F", "scenario": "A", "form": "as JSON", "passed": false, "why": "no"},
            {"feature": "F", "scenario": "B", "form": "as given", "passed": true, "why": null},
            {"feature": "F", "scenario": "B", "form": "as JSON", "passed": true, "why": null}]"#;
        let rows = rows(text).expect("a report");
        let about =
            About { date: "today".to_owned(), commit: "c0ffee".to_owned(), of: "then".to_owned() };
        let expected = "\
Open Workflow conformance kit, commit c0ffee of then, run on today through the command line.

| feature | scenario | as given | as JSON |
| --- | --- | --- | --- |
| F | A | passes | **fails** |
| F | B | passes | passes |
| **passed** |  | **2/2** | **1/2** |

A (as JSON): no
";
        assert_eq!(as_table(&rows, &about), expected);
        assert_eq!(as_json(&rows, &about)["passed"], 3);
    }

    /// Mutation: take a flag that is not known.
    #[test]
    fn unknown_flags_are_refused() {
        assert_eq!(Options::parse(&["-o", "json"]), Ok(Options { is_json: true }));
        assert!(Options::parse(&["-o", "yaml"]).is_err());
    }

    /// Mutation: look for the commit elsewhere.
    #[test]
    fn the_page_beside_the_kit_names_its_commit() {
        let page = tree::text(SOURCE.as_ref()).expect("the page is there");
        assert_eq!(cell(&page, "commit"), "4d42471");
        assert_eq!(cell(&page, "nothing"), "unknown");
    }
}
