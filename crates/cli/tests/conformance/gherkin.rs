//! Reads the features of the conformance kit: exactly the forms of steps that the kit has. A step of
//! any other form is an error, so that a newer kit cannot pass by not being understood.

use serde_json::Value;

/// One scenario of a feature.
#[derive(Debug, Clone)]
pub struct Scenario {
    pub feature: String,
    pub name: String,
    /// The document as the kit has it.
    pub document: String,
    pub input: Option<Value>,
    pub then: Vec<Expect>,
}

/// What must be true afterwards.
#[derive(Debug, Clone, PartialEq)]
pub enum Expect {
    Completes,
    Output(Value),
    Faults,
    /// At least these members.
    Fault(Value),
    /// Dotted paths.
    Has(Vec<String>),
    HasValue(String, Value),
    HasItems(String, usize),
    First(String),
    Last(String),
    After(String, String),
}

/// Scenarios of one feature file.
pub fn read(text: &str) -> Result<Vec<Scenario>, String> {
    let mut lines = text.lines().enumerate();
    let (mut feature, mut scenarios) = (String::new(), Vec::<Scenario>::new());
    while let Some((number, line)) = lines.next() {
        let line = line.trim();
        let wrong = |what: &str| format!("line {}: {what}: `{line}`", number + 1);
        if let Some(name) = line.strip_prefix("Feature: ") {
            name.clone_into(&mut feature);
        } else if let Some(name) = line.strip_prefix("Scenario: ") {
            scenarios.push(Scenario {
                feature: feature.clone(),
                name: name.to_owned(),
                document: String::new(),
                input: None,
                then: Vec::new(),
            });
        } else if let Some((_, step)) = step(line) {
            let scenario = scenarios.last_mut().ok_or_else(|| wrong("a step of no scenario"))?;
            let block = step.ends_with(':').then(|| block(&mut lines)).transpose()?;
            take(scenario, step, block).map_err(|what| wrong(&what))?;
        } else if !is_prose(line) {
            return Err(wrong("neither a step nor a remark"));
        }
    }
    match scenarios.iter().find(|it| it.document.is_empty() || it.then.is_empty()) {
        Some(empty) => Err(format!("`{}` has no workflow or expects nothing", empty.name)),
        None => Ok(scenarios),
    }
}

/// The story above the scenarios, and remarks.
fn is_prose(line: &str) -> bool {
    ["As an ", "I want to ", "So that ", "#"].iter().any(|start| line.starts_with(start))
        || line.is_empty()
}

fn step(line: &str) -> Option<(&str, &str)> {
    let (word, step) = line.split_once(' ')?;
    ["Given", "When", "Then", "And"].contains(&word).then_some((word, step))
}

/// The text between `"""yaml` and `"""`, without the indentation of its first line.
fn block<'a>(lines: &mut impl Iterator<Item = (usize, &'a str)>) -> Result<String, String> {
    let open = lines.next().map(|(_, line)| line.trim());
    if open != Some("\"\"\"yaml") {
        return Err(format!("expected `\"\"\"yaml`, found {open:?}"));
    }
    let mut text = String::new();
    let mut indent = None;
    for (_, line) in lines {
        if line.trim() == "\"\"\"" {
            return Ok(text);
        }
        let own = line.len() - line.trim_start().len();
        let first: usize = *indent.get_or_insert(own);
        text.push_str(line.get(first.min(own)..).unwrap_or_default());
        text.push('\n');
    }
    Err("a text without its end".to_owned())
}

fn take(scenario: &mut Scenario, step: &str, block: Option<String>) -> Result<(), String> {
    let unknown = || "a step that the runner does not know".to_owned();
    let words: Vec<&str> = step.split(' ').collect();
    let expect = match (step, block) {
        ("a workflow with definition:", Some(text)) => {
            scenario.document = text;
            return Ok(());
        }
        ("given the workflow input is:", Some(text)) => {
            scenario.input = Some(yaml(&text)?);
            return Ok(());
        }
        ("the workflow is executed", None) => return Ok(()),
        ("the workflow should complete", None) => Expect::Completes,
        ("the workflow should complete with output:", Some(text)) => Expect::Output(yaml(&text)?),
        ("the workflow should fault", None) => Expect::Faults,
        ("the workflow should fault with error:", Some(text)) => Expect::Fault(yaml(&text)?),
        (step, block) => match (words.as_slice(), block) {
            ([task, "should", "run", "first"], None) => Expect::First((*task).to_owned()),
            ([task, "should", "run", "last"], None) => Expect::Last((*task).to_owned()),
            ([task, "should", "run", "after", other], None) => {
                Expect::After((*task).to_owned(), (*other).to_owned())
            }
            (_, block) => property(step, block)?.ok_or_else(unknown)?,
        },
    };
    scenario.then.push(expect);
    Ok(())
}

fn property(step: &str, block: Option<String>) -> Result<Option<Expect>, String> {
    if let Some(list) = step.strip_prefix("the workflow output should have properties ") {
        let quoted = list.split(", ").map(|word| word.strip_prefix('\'')?.strip_suffix('\''));
        let paths: Option<Vec<String>> = quoted.map(|path| path.map(str::to_owned)).collect();
        return Ok(paths.map(Expect::Has));
    }
    let Some((path, rest)) = step
        .strip_prefix("the workflow output should have a '")
        .and_then(|rest| rest.split_once("' property "))
    else {
        return Ok(None);
    };
    let path = path.to_owned();
    let items = rest.strip_prefix("containing ").and_then(|rest| rest.strip_suffix(" items"));
    Ok(match (rest, block, items.and_then(|count| count.parse().ok())) {
        ("with value:", Some(text), _) => Some(Expect::HasValue(path, yaml(&text)?)),
        (_, None, Some(count)) => Some(Expect::HasItems(path, count)),
        _ => None,
    })
}

/// YAML as JSON, in the order of the text.
pub fn yaml(text: &str) -> Result<Value, String> {
    serde_saphyr::from_str(text).map_err(|wrong| wrong.to_string())
}

/// Mutation: take any unknown step for a remark.
#[test]
fn a_step_of_another_form_is_an_error() {
    let with = |step: &str| {
        read(&format!(
            "Feature: F\n  Scenario: S\n    Given a workflow with definition:\n    \"\"\"yaml\n    a: 1\n    \"\"\"\n    When the workflow is executed\n    Then {step}\n"
        ))
    };
    assert_eq!(with("the workflow should fault").expect("known")[0].then, [Expect::Faults]);
    assert_eq!(
        with("the workflow output should have a 'a' property containing 2 items").expect("known")
            [0]
        .then,
        [Expect::HasItems("a".to_owned(), 2)]
    );
    for step in [
        "the workflow should suspend",
        "the workflow should complete soon",
        "the workflow output should have properties a",
        "the workflow output should have a 'a' property containing many items",
        "a should run second",
    ] {
        assert!(with(step).is_err(), "{step}");
    }
    assert!(read("Feature: F\n  Given x\n").is_err());
    assert!(read("Scenario: S\n").is_err());
}
