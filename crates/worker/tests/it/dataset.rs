//! The function `dataset`, over real files and a real server.

use std::path::Path;
use std::sync::Arc;

use base::value::{as_array, as_i64, as_str, get as field};
use base::{DatasetName, IncarnationId, Label, Namespace, SystemRandom, Timestamp, Value};
use engine::effect::Certainty;
use engine::list::{List, Lists, read_next};
use gateway::EgressRule;
use isonomy_worker::Config;
use isonomy_worker::datasets::{
    CsvForm, Dataset, Datasets, Format, Place, Readers, RowSchema, Source,
};
use store::memory::MemoryStore;
use store::{Op, Preconditions, Store as _};

use crate::server::{Reply, Server, reply};
use crate::site::{Site, json};

const FUNCTION: &str = "dataset:1.0.0@default";

fn dataset(name: &str, source: Source, format: Format) -> Dataset {
    Dataset {
        name: DatasetName::parse(name).expect("a name"),
        source,
        format,
        labels: vec![Label::parse("health").expect("a label")],
        owner: Some("ward 3".to_owned()),
        readers: Readers::All,
        row: None,
        is_told: true,
    }
}

fn file(folder: &Path, rest: &str) -> Source {
    Source::File(Place { folder: folder.to_owned(), rest: rest.into() })
}

fn csv() -> Format {
    Format::Csv(CsvForm::default())
}

fn site(rules: Vec<EgressRule>, list: Vec<Dataset>) -> Site {
    let datasets = Datasets::new(list).expect("names of their own");
    Site::with(rules, Config { datasets, ..Config::default() })
}

fn here() -> Vec<EgressRule> {
    let destination = "http://127.0.0.1:*".to_owned();
    vec![EgressRule { destination, allow: true, ..EgressRule::default() }]
}

fn count(value: &Value) -> i64 {
    field(value, "count").and_then(as_i64).expect("a count")
}

/// Mutation: read what another namespace has, tell it apart from what is not there, leave out who
/// allowed it, or of which labels it is.
#[tokio::test]
async fn a_run_reads_what_its_namespace_may_and_hears_nothing_of_the_rest() {
    let dir = tempfile::tempdir().expect("a folder");
    std::fs::write(dir.path().join("a.csv"), "n\n1\n2\n").expect("written");
    let other = Readers::These([Namespace::parse("elsewhere").expect("a name")].into());
    let hidden = Dataset { readers: other, ..dataset("hidden", file(dir.path(), "a.csv"), csv()) };
    let site = site(vec![], vec![dataset("cases", file(dir.path(), "a.csv"), csv()), hidden]);
    let read = site.function(FUNCTION, json(r#"{"name":"cases"}"#)).await;
    let decision = read.decision.expect("the gate was asked");
    assert_eq!((decision.allowed, &*decision.rule), (true, "datasets: cases"));
    assert_eq!(read.labels, ["health"], "they are the run's from now on");
    let value = read.result.expect("rows");
    assert_eq!(count(&value), 2);
    assert_eq!(
        base::value::to_json_string(field(&value, "labels").expect("there")),
        r#"["health"]"#
    );
    let at = field(&value, "modifiedAt").and_then(as_str).and_then(Timestamp::parse);
    assert!(at.expect("a time").as_millis() > 1_700_000_000_000);
    let mut said = Vec::new();
    for name in ["hidden", "nobody"] {
        let refused = site.function(FUNCTION, json(&format!(r#"{{"name":"{name}"}}"#))).await;
        assert!(refused.decision.is_some_and(|it| !it.allowed), "{name}");
        let fault = refused.result.expect_err(name);
        assert_eq!((fault.kind(), fault.status), (base::ErrorType::Authorization, 403));
        let detail = fault.detail.expect("a detail");
        assert!(detail.starts_with("GATE-009"), "{detail}");
        said.push(detail.replace(name, "NAME"));
    }
    assert_eq!(said[0], said[1]);
}

/// Mutation: follow a link out of the folder, say the path in an error, or call a file that is gone a
/// fault of ours.
#[cfg(unix)]
#[tokio::test]
async fn a_file_that_cannot_be_read_is_an_error_without_its_path() {
    let dir = tempfile::tempdir().expect("a folder");
    let data = dir.path().join("secret-place");
    std::fs::create_dir(&data).expect("a folder");
    std::fs::write(dir.path().join("beside.csv"), "n\n1\n").expect("written");
    std::os::unix::fs::symlink("../beside.csv", data.join("out.csv")).expect("a link");
    let of = |name, rest| dataset(name, file(&data, rest), csv());
    let site = site(vec![], vec![of("gone", "gone.csv"), of("out", "out.csv"), of("folder", "")]);
    for (name, status) in [("gone", 404), ("out", 500), ("folder", 500)] {
        let fault = site.function(FUNCTION, json(&format!(r#"{{"name":"{name}"}}"#))).await;
        let fault = fault.result.expect_err(name);
        assert_eq!(fault.status, status, "{fault}");
        assert!(!fault.to_string().contains("secret-place"), "{fault}");
    }
}

/// Mutation: hold all rows in memory, or stop where a value would be too large.
#[tokio::test]
async fn a_large_file_becomes_a_list_that_is_not_held() {
    let dir = tempfile::tempdir().expect("a folder");
    let rows: String = (0..100_000).map(|n| format!("{{\"n\":{n}}}\n")).collect();
    std::fs::write(dir.path().join("a.jsonl"), rows).expect("written");
    let mut site = site(vec![], vec![dataset("cases", file(dir.path(), "a.jsonl"), Format::Jsonl)]);
    let store =
        Arc::new(MemoryStore::new(IncarnationId::new(Timestamp::from_millis(0), &SystemRandom)));
    site.lists = Lists::new(Arc::clone(&store) as Arc<dyn store::Store>);
    let read = site.function(FUNCTION, json(r#"{"name":"cases","stream":true}"#)).await;
    let value = read.result.expect("rows");
    let rows = field(&value, "rows").and_then(List::of_reference).expect("a list");
    assert_eq!((rows.items, count(&value)), (100_000, 100_000));
    let keep = Op::BlobKeep { blob: rows.blob, size: rows.bytes };
    store.commit(vec![keep], Preconditions::none()).await.expect("it was written");
    let (piece, items) = read_next(&*store, rows.blob, List::FIRST).await.expect("readable");
    assert!(piece.items < 100_000);
    assert_eq!(base::value::to_json_string(&items[7]), r#"{"n":7}"#);
}

/// Mutation: ask without the gate, follow a redirect, take an error's body for rows, or lose the time of
/// the last change.
#[tokio::test]
async fn an_address_is_asked_through_the_gate_and_read_as_it_comes() {
    let body: String = (0..50_000).map(|n| format!("{{\"n\":{n}}}\n")).collect();
    let server = Server::start(move |request, _| match request {
        it if it.starts_with("GET /a.jsonl ") => {
            let changed = ("Last-Modified", "Sun, 06 Nov 1994 08:49:37 GMT");
            reply("200 OK", &[changed], &body)
        }
        it if it.starts_with("GET /moved ") => reply("302 Found", &[("Location", "/a.jsonl")], ""),
        _ => reply("404 Not Found", &[], "{}\n"),
    })
    .await;
    let of = |name: &str, rest: &str| {
        let source = Source::Url(format!("{}{rest}", server.address()));
        dataset(name, source, Format::Jsonl)
    };
    let list = vec![of("cases", "/a.jsonl"), of("moved", "/moved"), of("gone", "/gone")];
    let allowed = site(here(), list.clone());
    let read = allowed.function(FUNCTION, json(r#"{"name":"cases","offset":49000}"#)).await;
    assert!(read.decision.is_some_and(|it| it.rule.contains("egress")));
    let value = read.result.expect("rows");
    assert_eq!(count(&value), 1_000);
    let at = field(&value, "modifiedAt").and_then(as_str);
    assert_eq!(at, Some("1994-11-06T08:49:37.000Z"));
    // Whoever needs no more does not wait for the rest.
    let first = allowed.function(FUNCTION, json(r#"{"name":"cases","limit":2}"#)).await;
    assert_eq!(count(&first.result.expect("rows")), 2);
    for (name, part) in [("moved", "302"), ("gone", "404")] {
        let fault = allowed.function(FUNCTION, json(&format!(r#"{{"name":"{name}"}}"#))).await;
        let fault = fault.result.expect_err(name).to_string();
        assert!(fault.contains(part), "{fault}");
    }
    let seen = server.seen().len();
    let denied = site(vec![], list).function(FUNCTION, json(r#"{"name":"cases"}"#)).await;
    assert!(denied.decision.is_some_and(|it| !it.allowed));
    let fault = denied.result.expect_err("no rule").to_string();
    assert!(fault.contains("GATE-001"), "{fault}");
    assert_eq!(server.seen().len(), seen);
}

/// Mutation: take half an answer for a whole one.
#[tokio::test]
async fn an_answer_that_breaks_off_is_no_result() {
    let server = Server::start(|_, _| {
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\nConnection: close\r\n\r\n";
        Reply::Send(format!("{head}{{\"n\":1}}\n").into_bytes())
    })
    .await;
    let source = Source::Url(format!("{}/a", server.address()));
    let site = site(here(), vec![dataset("cases", source, Format::Jsonl)]);
    let read = site.function(FUNCTION, json(r#"{"name":"cases"}"#)).await;
    assert_eq!(read.certainty, Certainty::Unknown);
    let fault = read.result.expect_err("half of it");
    assert_eq!(fault.kind(), base::ErrorType::Communication, "{fault}");
}

/// The intake of the shipped example: 569 real cases, and 12 rows that are none.
///
/// Mutation: lose a row, take a measurement for text, or a broken row for a case.
#[tokio::test]
async fn real_cases_are_read_by_their_schema() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/tumour-screening");
    let header: Vec<String> = (1..=30).map(|n| format!("x{n}")).chain(["class".into()]).collect();
    let form = CsvForm { skip: 1, header: Some(header.clone()), ..CsvForm::default() };
    let kind = |name: &String| match name.as_str() {
        "x1" => r#"{"type":"number","exclusiveMinimum":0,"maximum":100}"#,
        "class" => r#"{"type":"integer","enum":[0,1]}"#,
        _ => r#"{"type":"number","minimum":0}"#,
    };
    let columns: Vec<String> =
        header.iter().map(|name| format!("\"{name}\":{}", kind(name))).collect();
    let schema = json(&format!(r#"{{"properties":{{{}}}}}"#, columns.join(",")));
    let row = Some(RowSchema::compile(&schema).expect("a schema"));
    let declared = dataset("intake", file(&folder, "intake.csv"), Format::Csv(form));
    let site = site(vec![], vec![Dataset { row, ..declared }]);
    let skipping = r#"{"name":"intake","onBadRow":"skip","columns":["x1","class"]}"#;
    let value = site.function(FUNCTION, json(skipping)).await.result.expect("rows");
    assert_eq!(count(&value), 569);
    let bad = field(&value, "bad").and_then(as_array).expect("a list");
    assert_eq!(bad.len(), 12, "{bad:?}");
    let rows = field(&value, "rows").and_then(as_array).expect("a list");
    assert_eq!(base::value::to_json_string(&rows[0]), r#"{"x1":17.99,"class":0}"#);
    let fault = site.function(FUNCTION, json(r#"{"name":"intake"}"#)).await.result;
    let fault = fault.expect_err("bad rows").to_string();
    assert!(fault.contains("12 of 581 rows are bad"), "{fault}");
}
