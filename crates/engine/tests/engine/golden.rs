//! The formats on disk: what this binary writes today is what `docs/spec/samples` shows, and what
//! any binary wrote since the first version can be read.
//!
//! A new version adds a folder; an old one is never changed. `UPDATE_SAMPLES=1` writes the current
//! version's samples.

use std::collections::BTreeMap;
use std::path::PathBuf;

use base::document::DocumentError;
use base::outcome::Counts;
use base::{Digest, Fault, Outcome, RunId};
use engine::effect::EffectNo;
use engine::format::{
    Blobs, FormatError, RecordDoc, VERSION, blob_value, fault_closed, references, revision_keyed,
};
use engine::machine::Machine;
use engine::record::{Happened, Parent, Record, Seed, Started};
use store::{RunState, Sequence};

use crate::list::{HELD, computed};
use crate::walk::{START, Walk, by, started, workflow};

const BODY: &str = "
do:
  - guard:
      try:
        - ask: {call: http, with: {method: post, endpoint: 'http://world/flaky/1', headers: {x: y}, body: {n: '${ .n }'}}}
      catch: {retry: {delay: PT1S, jitter: {from: PT0S, to: PT1S}, limit: {attempt: {count: 2}}}}
  - each: {for: {in: '${ [1, 2.5, \"ä\", null] }'}, do: [{echo: {call: 'echo:1.0.0@default', with: {item: '${ $item }', out: '${ limit(1; repeat(1)) }'}}}]}
  - both: {fork: {compete: true, branches: [{hangs: {call: http, with: {method: get, endpoint: 'http://world/hang'}}}, {naps: {wait: PT1M}}]}}
  - bad: {timeout: {after: PT1H}, call: http, with: {method: get, endpoint: 'http://world/bad'}}
";

fn folder(version: u32) -> PathBuf {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    root.join(format!("docs/spec/samples/v{version}"))
}

/// Every document that a run of all kinds makes, by file name.
fn samples() -> BTreeMap<String, Vec<u8>> {
    let mut walk =
        Walk::start(BODY, r#"{"n":1,"big":"BIG"}"#.replace("BIG", &"x".repeat(20_000)).as_str());
    while walk.machine.ended().is_none() && walk.records.len() < 9 && walk.turn() {}
    let frozen = walk.machine.freeze();
    let mut walk = walk.finish();
    walk.feed(Happened::RetryRequested(by("operator")));
    walk.feed(Happened::CancelRequested(by("operator")));
    let mut files = BTreeMap::new();
    for record in &walk.records {
        files.insert(format!("record-{:02}.json", record.sequence.0), record.encode().bytes);
    }
    files.insert("snapshot.json".to_owned(), frozen.bytes);
    for (number, (_, bytes)) in frozen.blobs.into_iter().enumerate() {
        files.insert(format!("blob-{number}.json"), bytes);
    }
    files.extend(list_samples());
    files.insert("record-child.json".to_owned(), first_of_a_child().encode().bytes);
    let [queued, admitted] = queued_and_admitted();
    files.insert("record-queued.json".to_owned(), queued.encode().bytes);
    files.insert("record-admitted.json".to_owned(), admitted.encode().bytes);
    files.insert("outcome.json".to_owned(), outcome().encode());
    files
}

/// What is written of lists that lie in blobs.
fn list_samples() -> BTreeMap<String, Vec<u8>> {
    let mut walk = Walk::start(HELD, "{}");
    walk.turn();
    walk.turn();
    let (body, input) = computed(4);
    let holding = Walk::start(&body, &input).records.remove(0);
    let record = |at: usize| walk.records[at].encode().bytes;
    [
        ("list-performed.json", record(1)),
        ("list-read.json", record(2)),
        ("list-holding.json", holding.encode().bytes),
        ("list-snapshot.json", walk.machine.freeze().bytes),
    ]
    .map(|(name, bytes)| (name.to_owned(), bytes))
    .into()
}

/// The first record of a run that another run has run.
fn first_of_a_child() -> Record {
    let body = "do: [{nap: {wait: PT1M}}]";
    let activation = serde_json::from_value("/each[2]/guard!2/ask".into()).expect("an activation");
    let child = started(&workflow(body), "{}");
    let parent =
        Parent { run: child.run, activation, effect: EffectNo(3), depth: 2, awaited: true };
    let happened = Happened::Started(Box::new(Started { parent: Some(parent), ..child }));
    let step = Machine::new(workflow(body)).handle(START, &happened).expect("it starts");
    let (decided, control) = (step.decided, step.control);
    let record = Record { sequence: Sequence(1), at: START, happened, decided, control };
    let doc = RecordDoc::parse(&record.encode().bytes).expect("a record");
    assert_eq!(doc.into_record(&Blobs::new()).expect("a record"), record);
    record
}

/// The first two records of a run that waited for its turn.
fn queued_and_admitted() -> [Record; 2] {
    let workflow = workflow("do: [{nap: {wait: PT1M}}]");
    let mut machine = Machine::new(workflow.clone());
    let started = Started { queued: true, priority: 3, ..started(&workflow, "{}") };
    let happened = [Happened::Started(Box::new(started)), Happened::Admitted];
    let mut sequence = Sequence::ZERO;
    happened.map(|happened| {
        sequence = sequence.next();
        let step = machine.handle(START, &happened).expect("it fits");
        let (decided, control) = (step.decided, step.control);
        let record = Record { sequence, at: START, happened, decided, control };
        let doc = RecordDoc::parse(&record.encode().bytes).expect("a record");
        assert_eq!(doc.into_record(&Blobs::new()).expect("a record"), record);
        record
    })
}

fn outcome() -> Outcome {
    let fault = Fault::new(base::ErrorType::Communication, "not in the outcome").at("/do/3/bad");
    Outcome {
        run: RunId::from_uuid(uuid::Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0001)),
        number: 1,
        revision: revision_keyed(&Seed::from_bytes([7; 32]), &Digest::of(b"revision")),
        state: RunState::Faulted,
        started_at: START,
        ended_at: START.plus(base::Duration::from_secs(63)),
        error: Some(fault_closed(&fault)),
        counts: Counts { tasks: 9, effects: 8, retries: 1 },
    }
}

/// Mutation: rename a field, or write a number in another form.
#[test]
fn this_binary_writes_what_the_samples_show() {
    let folder = folder(VERSION);
    let samples = samples();
    if std::env::var_os("UPDATE_SAMPLES").is_some() {
        std::fs::create_dir_all(&folder).expect("a folder");
        for (name, bytes) in &samples {
            std::fs::write(folder.join(name), bytes).expect("a sample is written");
        }
    }
    for (name, bytes) in &samples {
        let stored =
            std::fs::read(folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        let (stored, now) = (String::from_utf8_lossy(&stored), String::from_utf8_lossy(bytes));
        assert_eq!(stored, now, "{name}");
    }
}

/// Mutation: make a reader need a field that an old writer did not write.
#[test]
fn this_binary_reads_every_version_since_the_first() {
    for version in 1..=VERSION {
        let folder = folder(version);
        let read = |name: &str| {
            std::fs::read(folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
        };
        let mut blobs = Blobs::new();
        let (mut records, mut snapshots) = (0, 0);
        let mut names: Vec<String> = std::fs::read_dir(&folder)
            .expect("samples")
            .map(|file| file.expect("a file").file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        for name in &names {
            let bytes = read(name);
            if name.starts_with("blob-") {
                let blob = Digest::of(&bytes);
                blobs.insert(blob, blob_value(blob, &bytes).expect(name));
            } else if name.starts_with("record-") {
                let doc = RecordDoc::parse(&bytes).expect(name);
                doc.into_record(&blobs).expect(name);
                records += 1;
            } else if name == "list-snapshot.json" {
                assert_eq!(Machine::snapshot_pieces(&bytes).expect(name).len(), 1);
                assert_eq!(references(&bytes).len(), 2);
            } else if name.starts_with("list-") {
                RecordDoc::parse(&bytes).expect(name);
                assert_eq!(references(&bytes).len(), if name.contains("read") { 1 } else { 2 });
            } else if ["schedule-", "backup-", "link-", "exchange-", "call-"]
                .iter()
                .any(|kind| name.starts_with(kind))
            {
                // Read by a test of the room that writes it.
            } else if name == "snapshot.json" {
                Machine::from_snapshot(workflow(BODY), &bytes, &blobs).expect(name);
                snapshots += 1;
            } else {
                assert_eq!(Outcome::decode(&bytes).expect(name), outcome(), "{name}");
            }
        }
        assert!(records > 10 && snapshots == 1, "{names:?}");
    }
}

/// Mutation: refuse unknown fields in records, or accept them in outcomes.
#[test]
fn unknown_fields_are_ignored_in_records_and_refused_in_outcomes() {
    let record = samples().remove("record-02.json").expect("a sample");
    let text = String::from_utf8(record).expect("text");
    let more = text.replacen('{', r#"{"later":{"x":[1]},"#, 1);
    RecordDoc::parse(more.as_bytes()).expect("a later minor version may add fields");
    let outcome = String::from_utf8(outcome().encode()).expect("text");
    let more = outcome.replacen('{', r#"{"later":1,"#, 1);
    assert!(matches!(Outcome::decode(more.as_bytes()), Err(DocumentError::Syntax(_))));
    let newer = outcome.replace(r#""v":1,"#, r#""v":2,"#);
    let found = Err(DocumentError::Newer { found: 2, known: 1 });
    assert_eq!(Outcome::decode(newer.as_bytes()), found);
    let newer = text.replace(r#""v":1,"#, r#""v":2,"#);
    assert!(matches!(RecordDoc::parse(newer.as_bytes()), Err(FormatError::Newer { found: 2 })));
    let other = text.replace("isonomy.record", "isonomy.outcome");
    assert!(matches!(RecordDoc::parse(other.as_bytes()), Err(FormatError::Type { .. })));
}
