//! Tables and files by themselves: is each what it must be, before anyone asks what it means.
//!
//! ```text
//!  file ─► schema ─► rows of runs ─► journal ─► rows without a run ─► events ─► calls ─► blobs ─► files
//!  SQLite's own      as readers      each row                          sums      numbers  digests  without
//!  check             see them        in its index                                                  a row
//! ```
//!
//! Everything but SQLite's own check is done in short pieces, each a transaction of its own, so that
//! the write-ahead log is not held and compaction may go on in between.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs::{self, File};
use std::hash::{BuildHasher as _, RandomState};

use base::{Digest, RunId};
use rusqlite::{Connection, OptionalExtension as _, params};
use store::{BlobId, Finding, FindingCode as Code, Verified};

use crate::blob::BlobFiles;
use crate::convert::{self, uint};
use crate::tail::decode;
use crate::upkeep::{LongReads, Pacer};
use crate::{open, run};

/// Rows of one piece: what one fold writes, so that a piece of the journal meets few extents.
const ROWS: i64 = 4096;

/// Blobs of one piece: up to 64 MiB are read for it.
const BLOBS: i64 = 64;

/// Complaints of SQLite about its file. More say no more.
const COMPLAINTS_MAX: u32 = 50;

/// Rows without a run that are told one by one.
const ORPHANS_MAX: u32 = 20;

/// Why it ends before its end.
pub(crate) enum Halt {
    /// Nobody wants to hear more.
    Unheard,
    Sql(rusqlite::Error),
}

impl From<rusqlite::Error> for Halt {
    fn from(cause: rusqlite::Error) -> Self {
        Self::Sql(cause)
    }
}

type Done = Result<(), Halt>;

pub(crate) struct Verifier<'a> {
    db: &'a Connection,
    blobs: &'a BlobFiles,
    long_reads: LongReads,
    pacer: Pacer,
    tell: Box<dyn FnMut(Finding) -> bool + Send>,
    pub(crate) seen: Verified,
}

impl<'a> Verifier<'a> {
    pub(crate) fn new(
        db: &'a Connection,
        blobs: &'a BlobFiles,
        long_reads: LongReads,
        pacer: Pacer,
        tell: Box<dyn FnMut(Finding) -> bool + Send>,
    ) -> Self {
        Self { db, blobs, long_reads, pacer, tell, seen: Verified::default() }
    }

    pub(crate) fn all(&mut self) -> Done {
        self.part(Self::file)?;
        self.part(Self::schema)?;
        self.part(Self::runs)?;
        self.part(Self::journal)?;
        self.part(Self::orphans)?;
        self.part(Self::events)?;
        self.part(Self::calls)?;
        self.part(Self::blobs)?;
        self.part(Self::files)
    }

    /// What cannot be read in one part does not keep the others from being looked at.
    fn part(&mut self, part: impl FnOnce(&mut Self) -> Done) -> Done {
        match part(self) {
            Err(Halt::Sql(cause)) => {
                let code = match open::of_sql(self.blobs.folder(), &cause) {
                    open::OpenError::Corrupt { .. } => Code::FileDamaged,
                    _ => return Err(Halt::Sql(cause)),
                };
                self.tell(Finding::new(code, cause.to_string()))
            }
            other => other,
        }
    }

    fn tell(&mut self, finding: Finding) -> Done {
        if (self.tell)(finding) { Ok(()) } else { Err(Halt::Unheard) }
    }

    /// A piece of work is done.
    fn rest(&mut self) -> Done {
        if self.pacer.rest() { Ok(()) } else { Err(Halt::Unheard) }
    }

    /// SQLite's own check, indexes included. It cannot be done in pieces.
    fn file(&mut self) -> Done {
        let held = self.long_reads.begin();
        let mut query = self.db.prepare(&format!("PRAGMA integrity_check({COMPLAINTS_MAX})"))?;
        let said: Result<Vec<String>, _> = query.query_map([], |row| row.get(0))?.collect();
        drop(held);
        for complaint in said?.into_iter().filter(|said| said != "ok") {
            // Several lines are one complaint.
            self.tell(Finding::new(Code::FileDamaged, complaint.replace('\n', " ")))?;
        }
        self.rest()?;
        Ok(())
    }

    fn schema(&mut self) -> Done {
        let made = |db: &Connection| -> rusqlite::Result<BTreeSet<(String, String)>> {
            let sql = "SELECT name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite_%'";
            let mut query = db.prepare(sql)?;
            query.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
        };
        let (wanted, found) = (made(&open::model()?)?, made(self.db)?);
        for (name, _) in wanted.difference(&found) {
            self.tell(Finding::new(Code::SchemaDiffers, format!("`{name}` is not as it must be")))?;
        }
        let known: BTreeSet<&String> = wanted.iter().map(|(name, _)| name).collect();
        for (name, _) in found.iter().filter(|(name, _)| !known.contains(name)) {
            self.tell(Finding::new(Code::SchemaDiffers, format!("`{name}` is not ours")))?;
        }
        Ok(())
    }

    /// Each row of a run can be read.
    fn runs(&mut self) -> Done {
        let mut after = 0;
        loop {
            let mut query = self.db.prepare_cached(include_str!("sql/verify_runs.sql"))?;
            let rows: Result<Vec<(i64, bool)>, _> = query
                .query_map(params![after, ROWS], |row| {
                    Ok((row.get(10)?, run::run_row(row).is_ok()))
                })?
                .collect();
            drop(query);
            let rows = rows?;
            let Some((last, _)) = rows.last() else { return Ok(()) };
            after = *last;
            self.seen.rows += rows.len() as u64;
            for (id, _) in rows.iter().filter(|(_, readable)| !readable) {
                let what = format!("row {id} of `runs` holds what no version writes");
                self.tell(Finding::new(Code::RowUnreadable, what))?;
            }
            self.rest()?;
        }
    }

    /// Each row of the journal stands in the index of its run, once and at its place. That each entry
    /// of the index has its row is seen by whoever reads the journals.
    fn journal(&mut self) -> Done {
        let mut after = 0;
        while let Some(last) = self.journal_piece(after)? {
            after = last;
            self.rest()?;
        }
        Ok(())
    }

    /// The last position of the piece, `None` behind the last fold: what comes there has no index yet.
    fn journal_piece(&mut self, after: i64) -> Result<Option<i64>, Halt> {
        let transaction = self.db.unchecked_transaction()?;
        let mut query = transaction.prepare_cached(include_str!("sql/verify_journal.sql"))?;
        let mut of_run: HashMap<i64, Vec<(u64, i64)>> = HashMap::new();
        let mut rows = query.query(params![after, ROWS])?;
        let mut last = None;
        while let Some(row) = rows.next()? {
            let position = row.get(0)?;
            of_run.entry(row.get(1)?).or_default().push((uint(row, 2)?, position));
            last = Some(position);
            self.seen.rows += 1;
        }
        let mut wrong = Vec::new();
        for (id, rows) in of_run {
            let run = run_of(&transaction, id)?;
            let Some(run) = run else {
                let what = format!("{} records of run number {id}, which is not there", rows.len());
                wrong.push(Finding::new(Code::RowOrphaned, what));
                continue;
            };
            let known = positions(&transaction, id, &rows)?;
            let lost = rows.iter().filter(|(sequence, at)| known.get(sequence) != Some(at));
            wrong.extend(lost.map(|(sequence, at)| {
                let what = format!("record {sequence} at position {at} is not in the index");
                Finding::of(run, Code::JournalUnindexed, what)
            }));
        }
        drop(rows);
        drop(query);
        drop(transaction);
        wrong.into_iter().try_for_each(|finding| self.tell(finding))?;
        Ok(last)
    }

    /// Rows whose run is not there.
    fn orphans(&mut self) -> Done {
        const TABLES: [(&str, &str); 4] = [
            ("snapshots", include_str!("sql/verify_snapshots.sql")),
            ("outcomes", include_str!("sql/verify_outcomes.sql")),
            ("logs", include_str!("sql/verify_logs.sql")),
            ("journal_extents", include_str!("sql/verify_extents.sql")),
        ];
        for (table, sql) in TABLES {
            let mut query = self.db.prepare(sql)?;
            let found: Result<Vec<i64>, _> =
                query.query_map([ORPHANS_MAX], |row| row.get(0))?.collect();
            drop(query);
            for id in found? {
                let what = format!("a row of `{table}` is of run number {id}, which is not there");
                self.tell(Finding::new(Code::RowOrphaned, what))?;
            }
            self.rest()?;
        }
        Ok(())
    }

    /// Sums follow each other, and no run has emitted the same number twice.
    fn events(&mut self) -> Done {
        let hashes = RandomState::new();
        // Eight bytes for each event that a run has emitted; the store keeps a million at most.
        let mut emitted: HashSet<u64> = HashSet::new();
        let (mut after, mut total) = (0, None);
        loop {
            let mut query = self.db.prepare_cached(include_str!("sql/verify_events.sql"))?;
            let rows: Result<Vec<_>, _> = query
                .query_map(params![after, ROWS], |row| {
                    let run: Option<[u8; 16]> = row.get(3)?;
                    Ok((row.get::<_, i64>(0)?, uint(row, 1)?, uint(row, 2)?, run, uint(row, 4)?))
                })?
                .collect();
            drop(query);
            let rows = rows?;
            let Some((last, ..)) = rows.last() else { return Ok(()) };
            after = *last;
            self.seen.events += rows.len() as u64;
            for (position, sum, bytes, run, number) in rows {
                if total.is_some_and(|before: u64| before.checked_add(bytes) != Some(sum)) {
                    let what =
                        format!("the event at {position} does not add up with the one before");
                    self.tell(Finding::new(Code::EventsDisordered, what))?;
                }
                total = Some(sum);
                if let Some(run) = run.filter(|_| number > 0)
                    && !emitted.insert(hashes.hash_one((run, number)))
                {
                    let run = RunId::from_uuid(uuid::Uuid::from_bytes(run));
                    let what = format!("event {number} is there again, at {position}");
                    self.tell(Finding::of(run, Code::EventTwice, what))?;
                }
            }
            self.rest()?;
        }
    }

    /// Numbers have no gaps, and times do not go back. Pages are compared within a piece only, each of
    /// which begins with the last page of the one before: others may be forgotten in between.
    fn calls(&mut self) -> Done {
        let mut from = 0;
        loop {
            let mut query = self.db.prepare_cached(include_str!("sql/verify_calls.sql"))?;
            let pages: Result<Vec<(i64, i64, i64)>, _> = query
                .query_map(params![from, ROWS], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
                .collect();
            drop(query);
            let pages = pages?;
            for pair in pages.windows(2) {
                let [(_, last, before), (first, end, at)] = pair else { continue };
                self.seen.rows += 1;
                if last.checked_add(1) != Some(*first) || end < first || at < before {
                    let what = format!("the page at {first} does not follow the one before");
                    self.tell(Finding::new(Code::CallsDisordered, what))?;
                }
            }
            let [_, .., (last, ..)] = pages[..] else { return Ok(()) };
            from = last;
            self.rest()?;
        }
    }

    /// Each blob is what its name says.
    fn blobs(&mut self) -> Done {
        let mut after = 0;
        loop {
            let mut query = self.db.prepare_cached(include_str!("sql/verify_blobs.sql"))?;
            let rows: Result<Vec<_>, _> = query
                .query_map(params![after, BLOBS], |row| {
                    let bytes: Option<Vec<u8>> = row.get(3)?;
                    let row_is_whole = match (&bytes, convert::digest(row, 1)) {
                        (Some(bytes), Ok(name)) => {
                            Some(Digest::of(bytes) == name && bytes.len() as u64 == uint(row, 2)?)
                        }
                        (None, _) | (_, Err(_)) => None,
                    };
                    Ok((
                        row.get::<_, i64>(0)?,
                        convert::digest(row, 1),
                        uint(row, 2)?,
                        row_is_whole,
                    ))
                })?
                .collect();
            drop(query);
            let rows = rows?;
            let Some((last, ..)) = rows.last() else { return Ok(()) };
            after = *last;
            for (id, blob, size, row_is_whole) in rows {
                self.seen.blobs += 1;
                let Ok(blob) = blob else {
                    let what = format!("row {id} of `blobs` has no digest");
                    self.tell(Finding::new(Code::RowUnreadable, what))?;
                    continue;
                };
                match row_is_whole {
                    Some(true) => {}
                    Some(false) => self.blob_changed(blob)?,
                    None => self.blob_file(blob, size)?,
                }
            }
            self.rest()?;
        }
    }

    fn blob_changed(&mut self, blob: BlobId) -> Done {
        self.tell(Finding::new(Code::BlobChanged, format!("{blob} is not what its name says")))
    }

    fn blob_file(&mut self, blob: BlobId, size: u64) -> Done {
        let found = File::open(self.blobs.file(blob)).and_then(Digest::of_reader);
        // One may take seconds.
        self.rest()?;
        match found {
            Ok(found) if found == (blob, size) => Ok(()),
            Ok(_) => self.blob_changed(blob),
            Err(cause) => {
                let what = format!("the file of {blob} cannot be read: {cause}");
                self.tell(Finding::new(Code::BlobMissing, what))
            }
        }
    }

    /// Files that no row knows. One may be about to be committed.
    fn files(&mut self) -> Done {
        let Ok(folders) = fs::read_dir(self.blobs.folder()) else { return Ok(()) };
        for folder in folders.flatten().filter(|entry| entry.file_name() != "new") {
            let Ok(files) = fs::read_dir(folder.path()) else { continue };
            for file in files.flatten() {
                let name = file.file_name();
                let name = name.to_string_lossy();
                if !self.knows(&name)? {
                    let place = format!("{}/{name}", folder.file_name().to_string_lossy());
                    let what = format!("`blobs/{place}` belongs to no blob");
                    self.tell(Finding::new(Code::BlobFileUnknown, what))?;
                }
            }
            self.rest()?;
        }
        Ok(())
    }

    fn knows(&self, name: &str) -> Result<bool, Halt> {
        let Ok(blob) = format!("b3:{name}").parse::<Digest>() else { return Ok(false) };
        let mut query = self.db.prepare_cached(include_str!("sql/blob_size.sql"))?;
        Ok(query.exists([blob.as_bytes()])?)
    }
}

/// Of a run that is there, or of one that is forgotten and not cleared away yet.
fn run_of(db: &Connection, id: i64) -> rusqlite::Result<Option<RunId>> {
    let sql =
        "SELECT run FROM runs WHERE id = ?1 UNION ALL SELECT id FROM forgotten WHERE run = ?1";
    let mut query = db.prepare_cached(sql)?;
    query.query_row([id], |row| convert::run(row, 0)).optional()
}

/// What the index says of the sequences of these rows, where it can be read.
fn positions(
    db: &Connection,
    run: i64,
    rows: &[(u64, i64)],
) -> rusqlite::Result<HashMap<u64, i64>> {
    let sequences = rows.iter().map(|(sequence, _)| *sequence);
    let (first, last) = (sequences.clone().min().unwrap_or(0), sequences.max().unwrap_or(0));
    let mut query = db.prepare_cached(include_str!("sql/journal_extent_list.sql"))?;
    let mut extents = query.query(params![run, convert::int(first.saturating_sub(1))])?;
    let mut known = HashMap::new();
    while let Some(extent) = extents.next()? {
        let begin = uint(extent, 0)?;
        if begin > last {
            break;
        }
        let bytes = extent.get_ref(2)?.as_blob().map_err(rusqlite::Error::from)?;
        known.extend((begin..).zip(decode(bytes).unwrap_or_default()));
    }
    Ok(known)
}
