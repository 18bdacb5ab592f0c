//! Opening a data folder: lock, file, schema, identity.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base::{Clock as _, IncarnationId, SystemClock, SystemRandom};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension as _, params};

use store::EventLimits;

use crate::ballast;
use crate::convert::int;
use crate::event::Newest;
use crate::folder::{self, Lock};
use crate::tail::{self, Tail};
use crate::upkeep::SCRATCH;

/// The name of the database file in the data folder.
pub const DATABASE_FILE: &str = "isonomy.db";

/// One script for each version of the schema, in order; a file of version n gets those after n.
const MIGRATIONS: [&str; 15] = [
    include_str!("sql/schema_1.sql"),
    include_str!("sql/schema_resolved.sql"),
    include_str!("sql/schema_schedule.sql"),
    include_str!("sql/schema_event.sql"),
    include_str!("sql/schema_log.sql"),
    include_str!("sql/schema_event_2.sql"),
    include_str!("sql/schema_event_by_run.sql"),
    include_str!("sql/schema_forget.sql"),
    include_str!("sql/schema_run_by_place.sql"),
    include_str!("sql/schema_link.sql"),
    include_str!("sql/schema_resource.sql"),
    include_str!("sql/schema_request.sql"),
    include_str!("sql/schema_taken.sql"),
    include_str!("sql/schema_unasked.sql"),
    include_str!("sql/schema_call.sql"),
];

/// Statements that a connection keeps compiled: all that it has, since each is asked again.
const STATEMENTS_KEPT: usize = 128;

/// How long a connection waits for a foreign process that holds the file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);

/// Pages that the writer keeps in memory: 4 MiB. The ends of the tables fit many times over.
const WRITER_CACHE_KIB: i64 = 4096;

/// Pages that each reader keeps in memory.
const READER_CACHE_KIB: i64 = 1024;

/// Short beside the time that a site has nothing to do, and long beside that between two steps.
const REST_AFTER: Duration = Duration::from_secs(5);

/// The log keeps this much room on disk after it was copied, and gives back what is above.
const WAL_BYTES_KEPT: i64 = 64 * 1024 * 1024;

#[derive(Debug, Clone)]
pub struct OpenOptions {
    /// Connections that answer questions, each with a thread.
    pub readers: usize,
    /// Events that are kept.
    pub events: EventLimits,
    /// Without a commit for so long, the store keeps no more in memory than it must.
    pub rest_after: Duration,
    /// Called when it has let go of that, so that the process can give it back to the system.
    pub on_rest: fn(),
    /// Called when a write or fsync has failed, with what happened. Must end the process, since
    /// nobody knows what the disk holds.
    pub on_fatal: fn(String) -> !,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self {
            readers: 2,
            events: EventLimits::default(),
            rest_after: REST_AFTER,
            on_rest: || {},
            on_fatal: abort,
        }
    }
}

fn abort(text: String) -> ! {
    eprintln!("error: {text}");
    std::process::abort()
}

#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("the store in `{folder}` is in use by {holder}: stop it first, or use another folder")]
    Locked { folder: PathBuf, holder: String },
    #[error(
        "the store in `{file}` has format {found}, and this program knows formats up to {known}: use a newer program"
    )]
    Newer { file: PathBuf, found: i64, known: i64 },
    #[error("there is no store in `{folder}`: name the data folder of a site with `--data DIR`")]
    Missing { folder: PathBuf },
    #[error(
        "the store in `{file}` has format {found}, and this program looks at format {known} only: start a site on it once with this program, or look with the program that wrote it"
    )]
    Older { file: PathBuf, found: i64, known: i64 },
    #[error(
        "`{file}` is damaged or not a store ({cause}): move the folder away and bring back a backup, or start with an empty folder"
    )]
    Corrupt { file: PathBuf, cause: String },
    #[error("cannot use `{path}`")]
    Folder {
        path: PathBuf,
        #[source]
        cause: io::Error,
    },
    #[error("the disk of `{file}` is full: free some space and start again")]
    Full { file: PathBuf },
    #[error("cannot open the store in `{file}`: {cause}")]
    Database { file: PathBuf, cause: String },
    #[error("cannot start the threads of the store")]
    Threads(#[source] io::Error),
}

/// An open file with everything that was read from it.
pub(crate) struct Opened {
    pub(crate) lock: Lock,
    pub(crate) writer: Connection,
    pub(crate) readers: Vec<Connection>,
    pub(crate) incarnation: IncarnationId,
    pub(crate) epoch: u64,
    pub(crate) tail: Tail,
    pub(crate) event_newest: Newest,
}

/// Opens the folder; on a full disk with the room of the ballast, so that runs can be ended.
pub(crate) fn open(data: &Path, options: &OpenOptions) -> Result<Opened, OpenError> {
    match attempt(data, options) {
        Err(OpenError::Full { .. }) if ballast::give_away(data) => attempt(data, options),
        result => result,
    }
}

fn attempt(data: &Path, options: &OpenOptions) -> Result<Opened, OpenError> {
    let on_folder = |cause| OpenError::Folder { path: data.to_owned(), cause };
    folder::make(data).map_err(on_folder)?;
    let lock = Lock::take(data)?;
    folder::forget(&data.join(SCRATCH)).map_err(on_folder)?;
    let file = data.join(DATABASE_FILE);
    refuse_emptied(&file)?;
    folder::touch(&file).map_err(|cause| OpenError::Folder { path: file.clone(), cause })?;
    folder::sync(data).map_err(on_folder)?;

    let failed = |cause: rusqlite::Error| of_sql(&file, &cause);
    let mut writer = connect(&file, WRITER_CACHE_KIB).map_err(failed)?;
    let found = schema_version(&writer).map_err(failed)?;
    let known = MIGRATIONS.len() as i64;
    if found > known {
        return Err(OpenError::Newer { file, found, known });
    }
    if found == 0 {
        // Effective only before the first table; in a file that has some, it would write.
        writer.pragma_update(None, "auto_vacuum", "INCREMENTAL").map_err(failed)?;
    }
    writer.pragma_update(None, "journal_mode", "WAL").map_err(failed)?;
    writer.pragma_update(None, "journal_size_limit", WAL_BYTES_KEPT).map_err(failed)?;
    migrate(&mut writer, found).map_err(failed)?;
    let (incarnation, epoch) = own(&mut writer).map_err(failed)?;
    let tail = read_tail(&writer, &file)?;
    let event_newest = crate::event::newest(&writer).map_err(failed)?;

    let mut readers = Vec::new();
    for _ in 0..options.readers.max(1) {
        readers.push(reader(&file).map_err(failed)?);
    }
    Ok(Opened { lock, writer, readers, incarnation, epoch, tail, event_newest })
}

/// Opens the folder to be read, and nothing else: no table is changed, no file but the lock.
pub(crate) fn look(data: &Path, readers: usize) -> Result<Looked, OpenError> {
    let file = data.join(DATABASE_FILE);
    if !file.is_file() {
        return Err(OpenError::Missing { folder: data.to_owned() });
    }
    let lock = Lock::take(data)?;
    refuse_emptied(&file)?;
    let failed = |cause: rusqlite::Error| of_sql(&file, &cause);
    let mut connections = Vec::new();
    for _ in 0..readers.max(1) {
        connections.push(reader(&file).map_err(failed)?);
    }
    let db = &connections[0];
    let found = schema_version(db).map_err(failed)?;
    let known = MIGRATIONS.len() as i64;
    if found > known {
        return Err(OpenError::Newer { file, found, known });
    }
    if found < known {
        return Err(OpenError::Older { file, found, known });
    }
    let (incarnation, epoch) = identity(db).map_err(failed)?;
    let tail = read_tail(db, &file)?;
    let event_newest = crate::event::newest(db).map_err(failed)?;
    Ok(Looked { lock, readers: connections, incarnation, epoch, tail, event_newest })
}

/// A store that is only read.
pub(crate) struct Looked {
    pub(crate) lock: Lock,
    pub(crate) readers: Vec<Connection>,
    pub(crate) incarnation: IncarnationId,
    pub(crate) epoch: u64,
    pub(crate) tail: Tail,
    pub(crate) event_newest: Newest,
}

/// A connection that can only read.
pub(crate) fn reader(file: &Path) -> rusqlite::Result<Connection> {
    let reader = connect(file, READER_CACHE_KIB)?;
    reader.pragma_update(None, "query_only", true)?;
    Ok(reader)
}

/// A database as this version makes it, in memory: to compare with.
pub(crate) fn model() -> rusqlite::Result<Connection> {
    let db = Connection::open_in_memory()?;
    for script in MIGRATIONS {
        db.execute_batch(script)?;
    }
    Ok(db)
}

/// SQLite takes an empty file for a new one and forgets the log beside it. No start of ours leaves
/// the two like that: somebody has emptied the file.
fn refuse_emptied(file: &Path) -> Result<(), OpenError> {
    let bytes = |file: &Path| std::fs::metadata(file).map_or(0, |found| found.len());
    let log = file.with_file_name(format!("{DATABASE_FILE}-wal"));
    if bytes(file) == 0 && bytes(&log) > 0 {
        let cause = "it is empty, and its write-ahead log is not".to_owned();
        return Err(OpenError::Corrupt { file: file.to_owned(), cause });
    }
    Ok(())
}

fn connect(file: &Path, cache_kib: i64) -> rusqlite::Result<Connection> {
    // Each connection belongs to one thread, so SQLite needs no lock of its own around it.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(file, flags)?;
    db.busy_timeout(BUSY_TIMEOUT)?;
    db.pragma_update(None, "synchronous", "FULL")?;
    db.pragma_update(None, "foreign_keys", false)?;
    // A negative number is in KiB.
    db.pragma_update(None, "cache_size", -cache_kib)?;
    // The writer does it between batches, when everyone has their answer.
    db.pragma_update(None, "wal_autocheckpoint", 0)?;
    // The writer does that too, where the disk has room for it; the end of a process must not.
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    db.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
    // Otherwise each statement with a `LIMIT ?` is compiled anew whenever it is bound: a plan could
    // depend on the number. Ours must not.
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    // A file that somebody has doctored must not make us call functions that it names.
    db.pragma_update(None, "trusted_schema", false)?;
    Ok(db)
}

/// Zero for a new file.
fn schema_version(db: &Connection) -> rusqlite::Result<i64> {
    let tables: i64 = db.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if tables == 0 {
        return Ok(0);
    }
    meta(db, "schema")?.ok_or(rusqlite::Error::QueryReturnedNoRows)
}

pub(crate) fn meta<T: rusqlite::types::FromSql>(
    db: &Connection,
    key: &str,
) -> rusqlite::Result<Option<T>> {
    db.query_row(include_str!("sql/meta_get.sql"), [key], |row| row.get(0)).optional()
}

fn migrate(db: &mut Connection, found: i64) -> rusqlite::Result<()> {
    for (version, script) in (1_i64..).zip(MIGRATIONS) {
        if version <= found {
            continue;
        }
        let transaction = db.transaction()?;
        transaction.execute_batch(script)?;
        let put = include_str!("sql/meta_put.sql");
        if version == 1 {
            let incarnation = IncarnationId::new(SystemClock.now(), &SystemRandom);
            transaction.execute(put, params!["incarnation", incarnation.as_uuid().as_bytes()])?;
            transaction.execute(put, params!["epoch", 0])?;
            transaction.execute(put, params!["folded", 0])?;
        }
        transaction.execute(put, params!["schema", version])?;
        transaction.commit()?;
    }
    Ok(())
}

/// Becomes the owner: the epoch is durable before anything is done in its name.
fn own(db: &mut Connection) -> rusqlite::Result<(IncarnationId, u64)> {
    let transaction = db.transaction()?;
    let (incarnation, before) = identity(&transaction)?;
    let epoch = before.saturating_add(1);
    transaction.execute(include_str!("sql/meta_put.sql"), params!["epoch", int(epoch)])?;
    transaction.commit()?;
    Ok((incarnation, epoch))
}

/// Which life of the store this is, and its newest owner.
pub(crate) fn identity(db: &Connection) -> rusqlite::Result<(IncarnationId, u64)> {
    let incarnation: Option<[u8; 16]> = meta(db, "incarnation")?;
    let epoch: Option<i64> = meta(db, "epoch")?;
    let (Some(incarnation), Some(epoch)) = (incarnation, epoch) else {
        return Err(rusqlite::Error::QueryReturnedNoRows);
    };
    let incarnation = IncarnationId::from_uuid(uuid::Uuid::from_bytes(incarnation));
    Ok((incarnation, epoch.max(0).unsigned_abs()))
}

fn read_tail(db: &Connection, file: &Path) -> Result<Tail, OpenError> {
    let folded = meta(db, "folded").map_err(|cause| of_sql(file, &cause))?.unwrap_or(0);
    let rows = tail::load(db, folded).map_err(|cause| of_sql(file, &cause))?;
    let mut tail = Tail::behind(folded);
    tail.extend(&rows)
        .map_err(|cause| OpenError::Corrupt { file: file.to_owned(), cause: cause.to_string() })?;
    Ok(tail)
}

/// What an error of SQLite means for somebody who wants to open the file.
pub(crate) fn of_sql(file: &Path, cause: &rusqlite::Error) -> OpenError {
    let (file, text) = (file.to_owned(), cause.to_string());
    match cause {
        rusqlite::Error::SqliteFailure(failure, _) => match failure.code {
            // "Unknown" is what a missing table or column is told as.
            ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::Unknown => {
                OpenError::Corrupt { file, cause: text }
            }
            ErrorCode::DiskFull => OpenError::Full { file },
            _ if failure.extended_code == rusqlite::ffi::SQLITE_IOERR_SHMSIZE => {
                OpenError::Full { file }
            }
            _ => OpenError::Database { file, cause: text },
        },
        rusqlite::Error::QueryReturnedNoRows => {
            OpenError::Corrupt { file, cause: "it lacks what every store holds".to_owned() }
        }
        rusqlite::Error::InvalidColumnType(..)
        | rusqlite::Error::FromSqlConversionFailure(..)
        | rusqlite::Error::SqlInputError { .. } => OpenError::Corrupt { file, cause: text },
        _ => OpenError::Database { file, cause: text },
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::ffi;

    use super::*;

    /// Mutation: let plans depend on what is bound.
    #[test]
    fn a_statement_is_compiled_once_whatever_is_bound() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let db = connect(file.path(), READER_CACHE_KIB).expect("opens");
        let mut one = db.prepare("SELECT name FROM sqlite_schema LIMIT ?1").expect("compiles");
        for limit in 1..9 {
            assert!(!one.exists([limit]).expect("reads"));
        }
        assert_eq!(one.get_status(rusqlite::StatementStatus::RePrepare), 0);
    }

    /// Mutation: take a damaged file for one that is busy, or a full disk for a damaged file.
    #[test]
    fn an_error_of_sqlite_says_what_to_do() {
        let told = |cause| match of_sql(Path::new("isonomy.db"), &cause) {
            OpenError::Corrupt { .. } => "corrupt",
            OpenError::Full { .. } => "full",
            _ => "database",
        };
        let code = |code| rusqlite::Error::SqliteFailure(ffi::Error::new(code), None);
        let cases = [
            (code(ffi::SQLITE_CORRUPT), "corrupt"),
            (code(ffi::SQLITE_NOTADB), "corrupt"),
            (code(ffi::SQLITE_FULL), "full"),
            (code(ffi::SQLITE_IOERR_SHMSIZE), "full"),
            (code(ffi::SQLITE_IOERR_READ), "database"),
            (code(ffi::SQLITE_BUSY), "database"),
            (rusqlite::Error::QueryReturnedNoRows, "corrupt"),
            (
                rusqlite::Error::InvalidColumnType(
                    0,
                    "value".to_owned(),
                    rusqlite::types::Type::Text,
                ),
                "corrupt",
            ),
            (rusqlite::Error::InvalidQuery, "database"),
        ];
        for (cause, expected) in cases {
            let shown = cause.to_string();
            assert_eq!(told(cause), expected, "{shown}");
        }
    }

    /// Mutation: `NORMAL` or `OFF`, with which a commit may be lost with the power; or a log that
    /// SQLite copies by itself in the midst of a commit.
    #[test]
    fn every_connection_makes_each_commit_durable() {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let opened = open(folder.path(), &OpenOptions::default()).expect("the folder is ours");
        const FULL: i64 = 2;
        for db in opened.readers.iter().chain([&opened.writer]) {
            let number = |pragma| -> i64 {
                db.pragma_query_value(None, pragma, |row| row.get(0)).expect("a number")
            };
            assert_eq!(number("synchronous"), FULL);
            assert_eq!(number("wal_autocheckpoint"), 0);
            assert!(number("cache_size") < 0, "in KiB, not in pages");
            assert_eq!(number("foreign_keys"), 0);
            const INCREMENTAL: i64 = 2;
            assert_eq!(number("auto_vacuum"), INCREMENTAL);
            let mode: String =
                db.pragma_query_value(None, "journal_mode", |row| row.get(0)).expect("a word");
            assert_eq!(mode, "wal");
        }
        let write = "INSERT INTO meta VALUES ('x', 1)";
        assert!(opened.readers[0].execute(write, []).is_err(), "a reader only reads");
    }
}
