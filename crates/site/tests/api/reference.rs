//! What is written about the API agrees with it.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use wire::ProblemCode;

use crate::documents::GREET;
use crate::place::Place;

fn reference(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference").join(name)
}

/// With `UPDATE=1` the file is written instead.
///
/// Mutation: change a route or a type without writing the description again.
#[test]
fn the_committed_description_is_the_apis() {
    let file = reference("openapi.json");
    let now = isonomy_site::openapi_json();
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&file, &now).expect("written");
    }
    let committed = fs::read_to_string(&file).expect("docs/reference/openapi.json");
    assert!(
        committed == now,
        "the API has changed: run this test once with UPDATE=1 and look at the difference"
    );
}

/// Mutation: add a code without telling its cause and the way out.
#[test]
fn every_problem_code_is_documented_with_its_status_cause_and_way_out() {
    let text = fs::read_to_string(reference("problems.md")).expect("docs/reference/problems.md");
    let rows: Vec<Vec<&str>> = text
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    let codes: Vec<String> = rows.iter().map(|row| row[0].trim_matches('`').to_owned()).collect();
    let mut expected: Vec<String> = ProblemCode::ALL.iter().map(ToString::to_string).collect();
    expected.extend(["WFL-101", "PLC-001", "PLC-002"].map(str::to_owned));
    for code in ProblemCode::ALL {
        let row = rows.iter().find(|row| row[0] == format!("`{code}`"));
        let row = row.unwrap_or_else(|| panic!("{code} is not documented"));
        assert_eq!((row[1], row[2]), (code.status().to_string().as_str(), code.title()), "{code}");
        assert!(row[3].len() > 10 && row[4].len() > 10, "{code}: say cause and way out");
    }
    assert!(codes.iter().all(|code| expected.contains(code)), "{codes:?}");
    assert!(
        ["WFL-101", "PLC-001", "PLC-002"].iter().all(|code| codes.contains(&(*code).to_owned()))
    );
}

/// Mutation: leave an operation out of the page.
#[test]
fn every_operation_is_in_the_reference() {
    let text = fs::read_to_string(reference("api.md")).expect("docs/reference/api.md");
    let api: Value = serde_json::from_str(&isonomy_site::openapi_json()).expect("JSON");
    for (path, item) in api["paths"].as_object().expect("paths") {
        for method in item.as_object().expect("operations").keys() {
            let operation = format!("`{} {path}`", method.to_uppercase());
            assert!(text.contains(&operation), "{operation} is not in docs/reference/api.md");
        }
    }
}

/// Mutation: forget a field, or accept what the page does not name.
#[test]
fn the_example_of_the_configuration_page_is_a_configuration() {
    let text =
        fs::read_to_string(reference("configuration.md")).expect("docs/reference/configuration.md");
    let example = text
        .split("```yaml\n")
        .nth(1)
        .and_then(|rest| rest.split("```").next())
        .expect("an example");
    let config = isonomy_site::Config::parse(example, "site.yaml", Path::new("/etc/isonomy"))
        .expect("the example");
    assert_ne!(config.egress, gateway::EgressMap::default());
    for field in example.lines().filter_map(|line| line.split(':').next()) {
        let field = field.trim().trim_start_matches("- ").trim_start_matches('#').trim();
        if !field.is_empty() && field.chars().all(char::is_alphanumeric) {
            let forms = [
                format!("`{field}`"),
                format!(".{field}`"),
                format!("`{field}."),
                format!(".{field}."),
            ];
            assert!(forms.iter().any(|form| text.contains(form)), "{field} is not explained");
        }
    }
}

/// Mutation: serve another description, or drop a metric.
#[tokio::test]
async fn the_site_describes_itself() {
    let place = Place::new().await;
    place.given("greet", GREET).await;
    place.run("greet", json!({"name": "ada"})).await;
    let health = place.get("/api/v1/health").await.json();
    assert_eq!(health["status"], "ok");
    assert!(health["incarnation"].as_str().expect("an id").starts_with("inc_"));
    let version = place.get("/api/v1/version").await.json();
    assert_eq!((&version["name"], &version["semantics"]), (&json!("isonomy"), &json!(3)));
    assert_eq!(
        place.get("/api/v1/openapi.json").await.body,
        isonomy_site::openapi_json().into_bytes()
    );
    let metrics = place.get("/metrics").await;
    let text = String::from_utf8(metrics.body).expect("text");
    let started = "isonomy_http_requests_total{method=\"POST\",route=\"/api/v1/namespaces/{namespace}/runs\",status=\"201\"} 1";
    for line in [started, "isonomy_runs{state=\"completed\"} 1"] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
    assert!(!text.contains("greet"), "no text of a user in metrics");
    place.stop().await;
}
