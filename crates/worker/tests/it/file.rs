//! Functions of the catalog, over real files.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use base::value::{as_array, as_i64, get as field};
use base::{IncarnationId, SystemRandom, Timestamp};
use engine::effect::Certainty;
use engine::list::{List, Lists, read_next};
use isonomy_worker::{Config, Folder, Folders};
use store::memory::MemoryStore;
use store::{Op, Preconditions, Store as _};

use crate::site::{Site, json, said};

fn site(data: &Path) -> Site {
    let folder = Folder { name: Some("data".into()), path: data.to_owned() };
    let folders = Folders::new(vec![folder]).expect("a good entry");
    Site::with(Vec::new(), Config { folders, ..Config::default() })
}

/// Mutation: change the arguments, or leave out the decision.
#[tokio::test]
async fn echo_gives_back_its_arguments_through_the_gate() {
    let dir = tempfile::tempdir().expect("a folder");
    let site = site(dir.path());
    for input in ["null", "{}", r#"{"a":[1,"x"]}"#] {
        let performed = site.function("echo:1.0.0@default", json(input)).await;
        assert_eq!(said(&performed), format!("{input} (Definite)"));
        let decision = performed.decision.expect("the gate was asked");
        assert!(decision.allowed);
        assert_eq!((&*decision.rule, &*decision.destination), ("catalog", "echo:1.0.0@default"));
    }
}

/// Mutation: run a function of another version or catalog.
#[tokio::test]
async fn an_unknown_function_is_a_configuration_error() {
    let dir = tempfile::tempdir().expect("a folder");
    let site = site(dir.path());
    for function in ["echo:2.0.0@default", "echo:1.0.0@other", "none:1.0.0@default"] {
        let performed = site.function(function, json("{}")).await;
        let expected = format!(
            "configuration Configuration error (400): the catalog has no function `{function}`; apply the workflow again \
             to see which exist (Definite)"
        );
        assert_eq!(said(&performed), expected);
        assert_eq!(performed.decision, None);
    }
}

/// Mutation: skip the schema of the arguments.
#[tokio::test]
async fn wrong_arguments_are_a_validation_error_without_their_values() {
    let dir = tempfile::tempdir().expect("a folder");
    let site = site(dir.path());
    for wrong in [
        "{}",
        r#"{"path":""}"#,
        r#"{"path":"data/x","haeder":true}"#,
        r#"{"path":"data/x","header":["a","a"]}"#,
        r#"{"path":"data/x","delimiter":"ab"}"#,
        r#"{"path":"data/x","delimiter":"\""}"#,
        r#"{"path":"data/x","skip":-1}"#,
        r#"{"path":"data/x","limit":1.5}"#,
        r#"["hidden"]"#,
    ] {
        let performed = site.function("csv:1.0.0@default", json(wrong)).await;
        let fault = performed.result.expect_err(wrong);
        assert_eq!((fault.kind(), fault.status), (base::ErrorType::Validation, 400), "{wrong}");
        let detail = fault.detail.expect("a detail");
        assert!(detail.starts_with("arguments of `csv:1.0.0@default`: /"), "{detail}");
        assert!(!detail.contains("hidden"), "{detail}");
    }
}

/// Mutation: read the whole file into one string, or lose a row at the end of a chunk.
#[tokio::test]
async fn a_hundred_thousand_rows_are_read_with_their_numbers() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut text = String::from("id,name,score\n");
    for row in 1..=100_000 {
        match row % 1000 {
            0 => writeln!(text, "{row},short").expect("written"),
            _ => writeln!(text, "{row},\"n, {row}\",{}.5", row % 7).expect("written"),
        }
    }
    std::fs::write(dir.path().join("big.csv"), text).expect("a file");
    let performed =
        site(dir.path()).function("csv:1.0.0@default", json(r#"{"path":"data/big.csv"}"#)).await;
    let decision = performed.decision.expect("the gate was asked");
    assert_eq!((decision.allowed, &*decision.rule), (true, "files entry 1: data"));
    let value = performed.result.expect("rows");
    let number = |name: &str| as_i64(field(&value, name).expect(name));
    assert_eq!((number("count"), number("read")), (Some(99_900), Some(100_000)));
    let bad = as_array(field(&value, "bad").expect("bad")).expect("an array");
    assert_eq!(bad.len(), 100);
    assert_eq!(
        bad[99],
        json(r#"{"row":100000,"line":100001,"reason":"2 fields where 3 are expected"}"#)
    );
    let rows = as_array(field(&value, "rows").expect("rows")).expect("an array");
    assert_eq!(rows[99_899], json(r#"{"id":99999,"name":"n, 99999","score":4.5}"#));
}

/// Mutation: take a denial for a missing file, or a missing file for a denial.
#[tokio::test]
async fn a_file_outside_is_denied_and_a_missing_one_is_not_found() {
    let dir = tempfile::tempdir().expect("a folder");
    let site = site(dir.path());
    let outside = site.function("csv:1.0.0@default", json(r#"{"path":"/etc/passwd"}"#)).await;
    assert_eq!(
        said(&outside),
        "authorization Denied by policy (403): GATE-004: no folder of the site's configuration allows `/etc/passwd`; to allow it, \
         add:\nspec:\n  files:\n    - path: /etc (Unknown)"
    );
    let decision = outside.decision.expect("the gate was asked");
    assert_eq!((decision.allowed, &*decision.rule), (false, "no entry of files matches"));
    let missing = site.function("csv:1.0.0@default", json(r#"{"path":"data/none.csv"}"#)).await;
    assert_eq!(
        said(&missing),
        "runtime File not found (404): `data/none.csv` does not exist (Definite)"
    );
    assert_eq!(missing.certainty, Certainty::Definite);
}

/// Mutation: give rows in place of a reference, lose one, or list every bad row.
#[tokio::test]
async fn a_streamed_file_becomes_a_list_that_is_read_in_pieces() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut text = String::from("id,name\n");
    for row in 1..=50_000 {
        match row % 20 {
            0 => writeln!(text, "{row}").expect("written"),
            _ => writeln!(text, "{row},\"n, {row}\"").expect("written"),
        }
    }
    std::fs::write(dir.path().join("big.csv"), text).expect("a file");
    let store =
        Arc::new(MemoryStore::new(IncarnationId::new(Timestamp::from_millis(0), &SystemRandom)));
    let mut site = site(dir.path());
    site.lists = Lists::new(store.clone());
    let input = json(r#"{"path":"data/big.csv","stream":true}"#);
    let value = site.function("csv:1.0.0@default", input).await.result.expect("rows");
    let number = |name: &str| as_i64(field(&value, name).expect(name));
    assert_eq!((number("count"), number("read")), (Some(47_500), Some(50_000)));
    let bad = as_array(field(&value, "bad").expect("bad")).expect("an array");
    assert_eq!(bad.len(), 1_000);
    let list = List::of_reference(field(&value, "rows").expect("rows")).expect("a reference");
    assert_eq!(site.lists.take(), [list]);
    let keep = Op::BlobKeep { blob: list.blob, size: list.bytes };
    store.commit(vec![keep], Preconditions::none()).await.expect("it was written");
    let (mut offset, mut rows, mut pieces) = (List::FIRST, Vec::new(), 0);
    while (rows.len() as u64) < list.items {
        let (piece, items) = read_next(&*store, list.blob, offset).await.expect("a piece");
        rows.extend(items.iter().cloned());
        (offset, pieces) = (piece.end(), pieces + 1);
    }
    assert!(pieces > 3, "{pieces}");
    assert_eq!(rows.len(), 47_500);
    assert_eq!(rows[47_499], json(r#"{"id":49999,"name":"n, 49999"}"#));
}

/// Mutation: read a file that is too large for memory, or do not say what to do with it.
#[tokio::test]
async fn a_file_that_is_too_large_for_memory_says_that_it_can_be_streamed() {
    let dir = tempfile::tempdir().expect("a folder");
    let file = std::fs::File::create(dir.path().join("huge.csv")).expect("a file");
    file.set_len(300 * 1024 * 1024).expect("takes no room");
    let performed =
        site(dir.path()).function("csv:1.0.0@default", json(r#"{"path":"data/huge.csv"}"#)).await;
    assert_eq!(
        said(&performed),
        "runtime File too large (413): `data/huge.csv` has 314572800 bytes, more than 268435456; give `stream: true` and go \
         over `rows` with `for` (Definite)"
    );
}
