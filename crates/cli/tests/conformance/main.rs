//! The language's own conformance kit and examples, through the real command line on a real site.
//!
//! Each scenario is run in three forms (`form`); services are played by the test (`stand_in`) behind
//! the site's egress map. `cargo xtask conformance` asks for the report.

mod examples;
mod form;
mod gherkin;
mod site;
mod stand_in;
#[path = "../support/mod.rs"]
mod support;

use serde_json::{Value, json};

use form::{Form, OUTER};
use gherkin::{Expect, Scenario};
use site::{Seen, Site, files, pinned};

/// Where to write the report, if anybody asks.
const REPORT_VARIABLE: &str = "ISONOMY_CONFORMANCE_REPORT";

/// How many scenarios the kit has: a reader that overlooks some must not pass.
const SCENARIOS: usize = 21;

fn scenarios() -> Vec<Scenario> {
    let features = files("open-workflow/ctk/features", "feature");
    let read = features.iter().flat_map(|(name, text)| {
        gherkin::read(text).unwrap_or_else(|wrong| panic!("{name}: {wrong}"))
    });
    read.collect()
}

/// Mutation: get any construct of the language wrong that the kit looks at; or take a failure for a
/// success in [`wrong`].
#[test]
fn the_conformance_kit_passes_in_three_forms_but_for_what_is_pinned() {
    let site = Site::new();
    let scenarios = scenarios();
    assert_eq!(scenarios.len(), SCENARIOS);
    let (mut rows, mut failed) = (Vec::new(), Vec::new());
    for scenario in &scenarios {
        for form in Form::ALL {
            let found = outcome(&site, scenario, form);
            rows.push(json!({
                "feature": scenario.feature, "scenario": scenario.name, "form": form.name(),
                "passed": found.is_none(), "why": found,
            }));
            if let Some(why) = found {
                failed.push((scenario.name.clone(), format!("{}: {why}", form.name())));
            }
        }
    }
    if let Some(file) = std::env::var_os(REPORT_VARIABLE) {
        std::fs::write(file, Value::from(rows).to_string()).expect("the report can be written");
    }
    site.close();
    let mut names: Vec<String> = failed.iter().map(|(name, _)| name.clone()).collect();
    names.dedup();
    let mut expected = pinned("scenario");
    expected.sort();
    names.sort();
    assert_eq!(names, expected, "pinned.txt says otherwise: {failed:#?}");
    // What is pinned fails in each form alike: half a construct is none.
    assert_eq!(failed.len(), names.len() * Form::ALL.len(), "{failed:#?}");
}

/// Why the scenario fails in this form, if it does.
fn outcome(site: &Site, scenario: &Scenario, form: Form) -> Option<String> {
    let text = match form.document(scenario) {
        Ok(text) => text,
        Err(why) => return Some(why),
    };
    let seen = site.run(form.file(), &text, scenario.input.as_ref());
    if !site.stand_in.take().iter().all(|request| !request.host.is_empty()) {
        return Some("a request without a host".to_owned());
    }
    let wrong = scenario.then.iter().filter_map(|expect| wrong(&seen, &form.expect(expect)));
    let wrong: Vec<String> = wrong.collect();
    (!wrong.is_empty()).then(|| format!("{} ({})", wrong.join("; "), seen.said.trim()))
}

fn wrong(seen: &Seen, expect: &Expect) -> Option<String> {
    let output = seen.output.as_ref().unwrap_or(&Value::Null);
    let position = |wanted: &String| seen.tasks.iter().position(|task| task == wanted);
    // The task around the others begins before them.
    let own = |task: &&String| *task != OUTER;
    let holds = match expect {
        Expect::Completes => seen.code == 0 && seen.error.is_none(),
        Expect::Output(wanted) => seen.code == 0 && output == wanted,
        Expect::Faults => seen.code == 1 && seen.error.is_some(),
        Expect::Fault(wanted) => {
            let fields = wanted.as_object().into_iter().flatten();
            let error = seen.error.as_ref().unwrap_or(&Value::Null);
            seen.code == 1 && fields.into_iter().all(|(name, value)| error.get(name) == Some(value))
        }
        Expect::Has(paths) => paths.iter().all(|path| find(output, path).is_some()),
        Expect::HasValue(path, wanted) => find(output, path) == Some(wanted),
        Expect::HasItems(path, count) => {
            find(output, path).and_then(Value::as_array).is_some_and(|items| items.len() == *count)
        }
        Expect::First(task) => seen.tasks.iter().find(own) == Some(task),
        Expect::Last(task) => seen.tasks.iter().rfind(own) == Some(task),
        Expect::After(task, earlier) => match (position(task), position(earlier)) {
            (Some(at), Some(before)) => before < at,
            _ => false,
        },
    };
    (!holds).then(|| format!("expected {expect:?}, saw code {} and {output}", seen.code))
}

fn find<'v>(value: &'v Value, path: &str) -> Option<&'v Value> {
    path.split('.').try_fold(value, |value, name| value.get(name))
}

/// Mutation: let any expectation hold for whatever was seen.
#[test]
fn every_expectation_can_fail() {
    let seen = Seen {
        code: 0,
        output: Some(json!({"a": {"b": [1]}})),
        tasks: vec!["x".to_owned(), "y".to_owned()],
        ..Seen::default()
    };
    let text = |text: &str| text.to_owned();
    let good = [
        Expect::Completes,
        Expect::Output(json!({"a": {"b": [1]}})),
        Expect::Has(vec![text("a"), text("a.b")]),
        Expect::HasValue(text("a.b"), json!([1])),
        Expect::HasItems(text("a.b"), 1),
        Expect::First(text("x")),
        Expect::Last(text("y")),
        Expect::After(text("y"), text("x")),
    ];
    let bad = [
        Expect::Faults,
        Expect::Fault(json!({})),
        Expect::Output(json!({"a": {}})),
        Expect::Has(vec![text("a"), text("a.c")]),
        Expect::HasValue(text("a.b"), json!([2])),
        Expect::HasItems(text("a"), 1),
        Expect::First(text("y")),
        Expect::Last(text("x")),
        Expect::After(text("x"), text("y")),
        Expect::After(text("y"), text("z")),
    ];
    assert!(good.iter().all(|expect| wrong(&seen, expect).is_none()));
    assert!(bad.iter().all(|expect| wrong(&seen, expect).is_some()));
    let faulted = Seen { code: 1, error: Some(json!({"status": 400})), ..Seen::default() };
    assert!(wrong(&faulted, &Expect::Fault(json!({"status": 400}))).is_none());
    assert!(wrong(&faulted, &Expect::Fault(json!({"status": 500}))).is_some());
    assert!(wrong(&faulted, &Expect::Completes).is_some());
    assert!(wrong(&faulted, &Expect::Output(Value::Null)).is_some());
}
