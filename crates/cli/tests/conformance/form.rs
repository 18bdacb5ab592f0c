//! The three forms in which each scenario is run: a runtime that knows the kit by heart passes only
//! the first.

use serde_json::{Map, Value, json};

use crate::gherkin::{Expect, Scenario, yaml};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    AsGiven,
    Json,
    /// All tasks under other names, in a `do` of its own.
    Nested,
}

/// The task around all others of [`Form::Nested`].
pub const OUTER: &str = "outer";

impl Form {
    pub const ALL: [Self; 3] = [Self::AsGiven, Self::Json, Self::Nested];

    pub const fn name(self) -> &'static str {
        match self {
            Self::AsGiven => "as given",
            Self::Json => "as JSON",
            Self::Nested => "nested, renamed",
        }
    }

    pub const fn file(self) -> &'static str {
        match self {
            Self::AsGiven | Self::Nested => "workflow.yaml",
            Self::Json => "workflow.json",
        }
    }

    pub fn document(self, scenario: &Scenario) -> Result<String, String> {
        if self == Self::AsGiven {
            return Ok(scenario.document.clone());
        }
        let mut document = yaml(&scenario.document)?;
        if self == Self::Nested {
            let tasks = document.get_mut("do").ok_or("a document without `do`")?;
            rename_list(tasks);
            *tasks = json!([{ OUTER: { "do": tasks.take() } }]);
        }
        Ok(format!("{document:#}\n"))
    }

    /// What to expect, in the names of this form.
    pub fn expect(self, expect: &Expect) -> Expect {
        if self != Self::Nested {
            return expect.clone();
        }
        match expect.clone() {
            Expect::First(task) => Expect::First(other(&task)),
            Expect::Last(task) => Expect::Last(other(&task)),
            Expect::After(task, earlier) => Expect::After(other(&task), other(&earlier)),
            Expect::HasValue(path, Value::String(pointer)) if path.ends_with("instance") => {
                Expect::HasValue(path, inner(&pointer).into())
            }
            Expect::Fault(mut fault) => {
                if let Some(Value::String(pointer)) = fault.get_mut("instance") {
                    *pointer = inner(pointer);
                }
                Expect::Fault(fault)
            }
            same @ (Expect::Completes
            | Expect::Output(_)
            | Expect::Faults
            | Expect::Has(_)
            | Expect::HasValue(..)
            | Expect::HasItems(..)) => same,
        }
    }
}

fn other(task: &str) -> String {
    format!("other-{task}")
}

/// A pointer to a task, in the document with other names: what follows a number is a name.
fn inner(pointer: &str) -> String {
    let mut path = format!("/do/0/{OUTER}");
    let mut is_name = false;
    for part in pointer.split('/').skip(1) {
        let part = if is_name { other(part) } else { part.to_owned() };
        is_name = part.bytes().all(|byte| byte.is_ascii_digit());
        path.push('/');
        path.push_str(&part);
    }
    path
}

fn rename_list(list: &mut Value) {
    for item in list.as_array_mut().into_iter().flatten() {
        let Some(entries) = item.as_object_mut() else { continue };
        *entries = std::mem::take(entries)
            .into_iter()
            .map(|(name, mut task)| {
                task.as_object_mut().into_iter().for_each(rename_task);
                (other(&name), task)
            })
            .collect();
    }
}

fn rename_task(task: &mut Map<String, Value>) {
    for (key, value) in task.iter_mut() {
        match key.as_str() {
            "do" | "try" | "branches" => rename_list(value),
            "then" => rename_flow(value),
            "catch" | "fork" | "foreach" => value.as_object_mut().into_iter().for_each(rename_task),
            "switch" => {
                let cases = value.as_array_mut().into_iter().flatten();
                let cases = cases.filter_map(Value::as_object_mut);
                cases
                    .flat_map(Map::values_mut)
                    .filter_map(Value::as_object_mut)
                    .for_each(rename_task);
            }
            _ => {}
        }
    }
}

fn rename_flow(then: &mut Value) {
    if let Value::String(name) = then
        && !["continue", "exit", "end"].contains(&name.as_str())
    {
        *name = other(name);
    }
}

/// Mutation: leave a flow, a case or a handler under its old name.
#[test]
fn a_nested_form_has_other_names_everywhere() {
    let scenario = Scenario {
        feature: String::new(),
        name: String::new(),
        document: "do:\n  - a: {try: [{b: {set: {x: 1}, then: exit}}], catch: {do: [{c: {wait: PT1S}}], then: a}}\n  - s: {switch: [{k: {then: a}}], then: end}\n"
            .to_owned(),
        input: None,
        then: Vec::new(),
    };
    let text = Form::Nested.document(&scenario).expect("a document");
    let expected = json!({"do": [{"outer": {"do": [
        {"other-a": {"try": [{"other-b": {"set": {"x": 1}, "then": "exit"}}],
            "catch": {"do": [{"other-c": {"wait": "PT1S"}}], "then": "other-a"}}},
        {"other-s": {"switch": [{"k": {"then": "other-a"}}], "then": "end"}},
    ]}}]});
    assert_eq!(serde_json::from_str::<Value>(&text).expect("JSON"), expected);
    assert_eq!(inner("/do/0/a/try/12/b"), "/do/0/outer/do/0/other-a/try/12/other-b");
}
