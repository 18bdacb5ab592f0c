//! Each kind of damage, and the code that it is found by.

use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use store::FindingCode;

use crate::support::{Ended, Home};
use crate::{copy, fill, home};

enum Damage {
    /// Done to the tables.
    Sql(&'static str),
    /// Done to the data folder.
    Files(fn(&Path)),
}
use Damage::{Files, Sql};

/// What is done, and what must be among the codes that are told.
const CASES: &[(FindingCode, Damage)] = &[
    (
        FindingCode::RowDiffers,
        Sql("UPDATE runs SET state = 2, ended_at = NULL WHERE name = 'whole'"),
    ),
    (FindingCode::RowDiffers, Sql("UPDATE runs SET ended_at = ended_at + 1 WHERE name = 'whole'")),
    (FindingCode::RowDiffers, Sql("UPDATE runs SET created_at = 1 WHERE name = 'whole'")),
    (FindingCode::RowDiffers, Sql("UPDATE runs SET wake_at = 1 WHERE state = 2")),
    (
        FindingCode::RowDiffers,
        Sql(
            "UPDATE runs SET summary = CAST(replace(summary, '\"tasks\":', '\"tasks\":1') AS BLOB) WHERE name = 'whole'",
        ),
    ),
    (
        FindingCode::RowDiffers,
        Sql(
            "UPDATE runs SET summary = CAST(replace(summary, '\"depth\":1', '\"depth\":2') AS BLOB)",
        ),
    ),
    (FindingCode::RowUnreadable, Sql("UPDATE runs SET summary = x'7b7d' WHERE name = 'whole'")),
    (FindingCode::RowUnreadable, Sql("UPDATE runs SET state = 9 WHERE name = 'whole'")),
    (FindingCode::RowOrphaned, Sql("DELETE FROM runs WHERE name = 'whole'")),
    (FindingCode::RowOrphaned, Sql("INSERT INTO logs VALUES (1, 99, '/', 1, 1, 1, 0, 0, x'00')")),
    (
        FindingCode::JournalEmpty,
        Sql("DELETE FROM journal WHERE run = 1; DELETE FROM journal_extents WHERE run = 1"),
    ),
    (
        FindingCode::JournalUnreadable,
        Sql(
            "DELETE FROM journal WHERE position = (SELECT max(position) FROM journal WHERE run = 1)",
        ),
    ),
    (FindingCode::JournalUnreadable, Sql("UPDATE journal SET record = x'00' WHERE position = 3")),
    (
        FindingCode::JournalUnreadable,
        Sql("UPDATE journal SET sequence = 2 WHERE run = 1 AND sequence = 3"),
    ),
    (FindingCode::JournalUnindexed, Sql("DELETE FROM journal_extents WHERE run = 1")),
    (
        FindingCode::JournalUnindexed,
        Sql(
            "INSERT INTO journal SELECT (SELECT max(position) + 1 FROM journal), run, sequence, record FROM journal WHERE position = 3; UPDATE meta SET value = value + 1 WHERE key = 'folded'",
        ),
    ),
    (
        FindingCode::JournalDiverged,
        Sql(
            "UPDATE journal SET record = CAST(replace(record, '\"kind\":\"performed\",\"effect\":2,', '\"kind\":\"performed\",\"effect\":3,') AS BLOB) WHERE run = 1",
        ),
    ),
    (
        FindingCode::JournalDiverged,
        Sql(
            "UPDATE journal SET record = CAST(replace(record, '\"decided\":[{', '\"nothing\":[{') AS BLOB) WHERE position = 3",
        ),
    ),
    (FindingCode::SnapshotDiffers, Sql("UPDATE snapshots SET sequence = sequence - 1")),
    (FindingCode::SnapshotDiffers, Sql("UPDATE snapshots SET sequence = 99999")),
    (FindingCode::SnapshotDiffers, Sql("UPDATE snapshots SET snapshot = x'7b7d'")),
    (FindingCode::OutcomeMissing, Sql("DELETE FROM outcomes WHERE run = 1")),
    (FindingCode::OutcomeUnknown, Sql("UPDATE outcomes SET number = 7 WHERE run = 1")),
    (FindingCode::OutcomeDiffers, Sql("UPDATE outcomes SET at = at + 1 WHERE run = 1")),
    (
        FindingCode::OutcomeDiffers,
        Sql(
            "UPDATE outcomes SET outcome = CAST(replace(outcome, 'completed', 'cancelled') AS BLOB)",
        ),
    ),
    (
        FindingCode::ChildMissing,
        Sql("DELETE FROM runs WHERE summary LIKE '%\"parent\"%' AND state = 6"),
    ),
    (FindingCode::ParentMissing, Sql("DELETE FROM runs WHERE name = 'waits'")),
    (FindingCode::EventMissing, Sql("DELETE FROM events WHERE number > 0")),
    (FindingCode::EventUnknown, Sql("UPDATE events SET number = 9 WHERE number = 1")),
    (FindingCode::EventDiffers, Sql("UPDATE events SET type = 'other' WHERE number = 1")),
    (
        FindingCode::EventTwice,
        Sql(
            "INSERT INTO events SELECT (SELECT max(position) + 1 FROM events), namespace, source, 'again', type, subject, run, number, at, (SELECT max(total) FROM events) + length(event), event FROM events WHERE number = 1",
        ),
    ),
    (FindingCode::EventsDisordered, Sql("UPDATE events SET total = total + 1 WHERE position = 2")),
    (FindingCode::CallsDisordered, Sql("DELETE FROM call_pages WHERE first = 8")),
    (FindingCode::CallsDisordered, Sql("DELETE FROM call_pages WHERE first = 4106")),
    (FindingCode::CallsDisordered, Sql("UPDATE call_pages SET at = 2 WHERE first = 11")),
    (FindingCode::CallsDisordered, Sql("UPDATE call_pages SET last = 5999 WHERE first = 6000")),
    (FindingCode::BlobChanged, Sql("UPDATE blobs SET bytes = x'00' WHERE bytes IS NOT NULL")),
    (FindingCode::BlobMissing, Sql("DELETE FROM blobs")),
    (FindingCode::BlobMissing, Files(|data| fs::remove_file(blob(data)).expect("it is there"))),
    (
        FindingCode::BlobChanged,
        Files(|data| {
            let mut bytes = fs::read(blob(data)).expect("it is there");
            bytes[100] ^= 1;
            fs::write(blob(data), bytes).expect("written");
        }),
    ),
    (
        FindingCode::BlobFileUnknown,
        Files(|data| {
            let folder = data.join("blobs/00");
            fs::create_dir_all(&folder).expect("a folder");
            fs::write(folder.join("stray"), "x").expect("written");
        }),
    ),
    (FindingCode::RevisionUnreadable, Sql("DELETE FROM revisions WHERE name = 'whole'")),
    (FindingCode::SchemaDiffers, Sql("DROP INDEX events_by_type")),
    (FindingCode::SchemaDiffers, Sql("CREATE TABLE mine (a)")),
    (
        FindingCode::ScheduleRunMissing,
        Sql(
            "INSERT INTO schedules VALUES ('default', 'whole', 'after', x'7b7d', 0, NULL, 0, x'01a1fb7bd52274148c47aa7df2bebacf')",
        ),
    ),
    (
        FindingCode::FileDamaged,
        Files(|data| {
            let file = data.join("isonomy.db");
            let mut bytes = fs::read(&file).expect("it is there");
            // Any page in the midst of the tables.
            bytes[40_960..45_056].fill(0x5a);
            fs::write(&file, bytes).expect("written");
        }),
    ),
    (
        FindingCode::FileDamaged,
        Files(|data| fs::write(data.join("isonomy.db"), "no store").expect("written")),
    ),
];

/// Told of runs alone: a store that was made by the engine cannot be brought there by changing it,
/// since its journal proves itself. They have tests of their own in `engine`.
const ELSEWHERE: [FindingCode; 2] = [FindingCode::RunStuck, FindingCode::RunUnattended];

/// Pages of calls behind forgotten ones, more than are looked at in one piece: the first piece ends with
/// that at 4105.
const CALLS: &str =
    "INSERT INTO call_pages VALUES (7, 7, 3, x'00'), (8, 10, 3, x'00'), (11, 12, 4, x'00');
    WITH RECURSIVE entries (n) AS (SELECT 13 UNION ALL SELECT n + 1 FROM entries WHERE n < 6000)
    INSERT INTO call_pages SELECT n, n, 4, x'00' FROM entries";

/// The one blob that is a file.
fn blob(data: &Path) -> PathBuf {
    let folders = fs::read_dir(data.join("blobs")).expect("a folder");
    let files =
        folders.flat_map(|folder| fs::read_dir(folder.expect("one").path()).into_iter().flatten());
    files.map(|file| file.expect("one").path()).next().expect("a blob")
}

fn check(home: &Home, data: &str) -> (Ended, Vec<String>) {
    let ended = home.run(&["store", "check", "--data", data, "-o", "json"]);
    let told = ended.json();
    let findings = told["findings"].as_array().expect("a list");
    let codes = findings.iter().map(|finding| finding["code"].as_str().expect("a code").to_owned());
    let codes = codes.collect();
    (ended, codes)
}

/// Mutation: leave any comparison of the check out.
#[test]
fn every_kind_of_damage_is_found() {
    let home = home();
    let dev = home.dev();
    fill(&home);
    let asked = home.run(&["store", "check", "-o", "json"]).ends_with(0).json();
    assert_eq!(asked["totals"]["runs"], 6, "{asked}");
    dev.stop().ends_with(0);
    let db = Connection::open(home.path(".isonomy/isonomy.db")).expect("opens");
    db.execute_batch(CALLS).expect("they go on from page to page");
    drop(db);
    let (ended, codes) = check(&home, ".isonomy");
    ended.ends_with(0);
    assert_eq!(codes, Vec::<String>::new());
    let mut missed = Vec::new();
    for (n, (code, damage)) in CASES.iter().enumerate() {
        let name = format!("damaged-{n}");
        let data = home.path(&name);
        copy(&home.path(".isonomy"), &data);
        match damage {
            Sql(sql) => {
                let db = Connection::open(data.join("isonomy.db")).expect("opens");
                db.execute_batch(sql).unwrap_or_else(|wrong| panic!("{sql}: {wrong}"));
            }
            Files(damage) => damage(&data),
        }
        let (ended, codes) = check(&home, &name);
        let wanted = i32::from(!code.is_note());
        if !codes.iter().any(|found| found == code.as_str()) || ended.code != wanted {
            missed.push(format!("{n}: {code}, not {codes:?}, code {}", ended.code));
        }
        fs::remove_dir_all(&data).expect("removed");
    }
    assert_eq!(missed, Vec::<String>::new());
    let covered = |code: &&FindingCode| {
        CASES.iter().any(|(found, _)| found == *code) || ELSEWHERE.contains(code)
    };
    assert_eq!(
        FindingCode::ALL.iter().filter(|code| !covered(code)).collect::<Vec<_>>(),
        Vec::<&FindingCode>::new()
    );
}

/// Mutation: raise the epoch, copy the log, or repair anything.
#[test]
fn a_check_of_a_folder_changes_nothing() {
    let home = home();
    let dev = home.dev();
    home.run(&["apply", "-f", "all", "--yes"]).ends_with(0);
    home.run(&["run", "child", "-i", "n=1"]).ends_with(0);
    dev.kill();
    let files = || {
        ["isonomy.db", "isonomy.db-wal", "ballast"]
            .map(|name| fs::read(home.path(".isonomy").join(name)).expect("it is there"))
    };
    let before = files();
    check(&home, ".isonomy").0.ends_with(0);
    assert!(files() == before);
    let dev = home.dev();
    let held = home.run(&["store", "check", "--data", ".isonomy"]).ends_with(7);
    assert!(held.stderr.contains("leave out `--data`"), "{held:?}");
    dev.stop().ends_with(0);
    let missing = home.run(&["store", "check", "--data", "nowhere"]).ends_with(2);
    assert!(missing.stderr.contains("there is no store in `nowhere`"), "{missing:?}");
    assert!(!home.path("nowhere").exists());
}
