//! The sites of a hub, and what they have sent.

use base::stream::{PerStream, Stream};
use base::{Digest, SiteName, Timestamp};
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use store::{CommitError, ENTRIES_BESIDE_MAX, EntryRow, SiteRow, TokenRow};

use crate::apply::{Applier, Refusal};
use crate::convert::{self, int, stream_code, time, uint};

impl Applier<'_> {
    pub(crate) fn site_put(&self, site: &SiteName, record: &[u8]) -> Result<(), Refusal> {
        let mut put = self.db.prepare_cached(include_str!("sql/site_put.sql"))?;
        put.execute(params![site.as_str(), record])?;
        Ok(())
    }

    pub(crate) fn seat_put(&self, site: &SiteName, seat: &[u8]) -> Result<(), Refusal> {
        let mut put = self.db.prepare_cached(include_str!("sql/seat_put.sql"))?;
        match put.execute(params![site.as_str(), seat])? {
            0 => Err(CommitError::SiteMissing(site.clone()).into()),
            _ => Ok(()),
        }
    }

    pub(crate) fn entry_take(&self, row: &EntryRow) -> Result<(), Refusal> {
        let id = self.db.prepare_cached(include_str!("sql/site_id.sql"))?;
        let id: Option<i64> = { id }.query_row([row.site.as_str()], |row| row.get(0)).optional()?;
        let id = id.ok_or_else(|| CommitError::SiteMissing(row.site.clone()))?;
        let (stream, key) = (stream_code(row.stream), row.key.as_ref());
        let (at, entry) = (row.at.as_millis(), row.entry.as_ref());
        let mut put = self.db.prepare_cached(include_str!("sql/entry_put.sql"))?;
        let mut same = self.db.prepare_cached(include_str!("sql/entry_same.sql"))?;
        if put.execute(params![id, stream, key, at, entry])? > 0 {
            let mut count = self.db.prepare_cached(include_str!("sql/entry_count.sql"))?;
            count.execute(params![id, stream])?;
            return Ok(());
        }
        if same.exists(params![id, stream, key, entry])? {
            return Ok(());
        }
        let mut put = self.db.prepare_cached(include_str!("sql/entry_beside_put.sql"))?;
        put.execute(params![id, stream, key, at, entry, ENTRIES_BESIDE_MAX])?;
        Ok(())
    }
}

impl Applier<'_> {
    pub(crate) fn token_put(&self, row: &TokenRow) -> Result<(), Refusal> {
        let (site, until) = (row.site.as_str(), row.until.as_millis());
        let mut put = self.db.prepare_cached(include_str!("sql/token_put.sql"))?;
        put.execute(params![row.secret.as_bytes(), site, until, row.record.as_ref()])?;
        Ok(())
    }

    pub(crate) fn token_use(
        &self,
        secret: &Digest,
        by: &Digest,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let mut spend = self.db.prepare_cached(include_str!("sql/token_use.sql"))?;
        match spend.execute(params![secret.as_bytes(), by.as_bytes(), now.as_millis()])? {
            0 => Err(CommitError::TokenSpent.into()),
            _ => Ok(()),
        }
    }

    pub(crate) fn token_forget(&self, until: Timestamp) -> Result<(), Refusal> {
        let mut forget = self.db.prepare_cached(include_str!("sql/token_forget.sql"))?;
        forget.execute([until.as_millis()])?;
        Ok(())
    }
}

pub(crate) fn token_get(db: &Connection, secret: Digest) -> rusqlite::Result<Option<TokenRow>> {
    let mut query = db.prepare_cached(include_str!("sql/token_get.sql"))?;
    let found = query.query_row([secret.as_bytes()], |row| {
        let used_by: Option<[u8; 32]> = row.get(3)?;
        Ok(TokenRow {
            secret,
            site: convert::site(row, 0)?,
            until: time(row, 1)?,
            record: convert::bytes(row, 2)?,
            used_by: used_by.map(Digest::from_bytes),
        })
    });
    found.optional()
}

fn site_row(row: &Row<'_>) -> rusqlite::Result<SiteRow> {
    let seat: Option<Vec<u8>> = row.get(2)?;
    let count =
        |column| row.get(column).map(|count: Option<i64>| count.map_or(0, i64::cast_unsigned));
    Ok(SiteRow {
        site: convert::site(row, 0)?,
        record: convert::bytes(row, 1)?,
        seat: seat.map(Into::into),
        taken: PerStream { outcome: count(3)?, receipt: count(4)? },
    })
}

pub(crate) fn site_get(db: &Connection, site: &SiteName) -> rusqlite::Result<Option<SiteRow>> {
    let mut query = db.prepare_cached(include_str!("sql/site_get.sql"))?;
    query.query_row([site.as_str()], site_row).optional()
}

pub(crate) fn site_list(
    db: &Connection,
    after: Option<&SiteName>,
    limit: u32,
) -> rusqlite::Result<Vec<SiteRow>> {
    let mut query = db.prepare_cached(include_str!("sql/site_list.sql"))?;
    let after = after.map_or("", |after| after.as_str());
    query.query_map(params![after, limit], site_row)?.collect()
}

fn entry_row(row: &Row<'_>) -> rusqlite::Result<EntryRow> {
    Ok(EntryRow {
        position: uint(row, 0)?,
        site: convert::site(row, 1)?,
        stream: convert::stream(row, 2)?,
        key: convert::bytes(row, 3)?,
        at: time(row, 4)?,
        entry: convert::bytes(row, 5)?,
    })
}

pub(crate) fn entry_get(
    db: &Connection,
    site: &SiteName,
    stream: Stream,
    key: &[u8],
) -> rusqlite::Result<Option<EntryRow>> {
    let mut query = db.prepare_cached(include_str!("sql/entry_get.sql"))?;
    query.query_row(params![site.as_str(), stream_code(stream), key], entry_row).optional()
}

pub(crate) fn entry_list(
    db: &Connection,
    after: u64,
    limit: u32,
) -> rusqlite::Result<Vec<EntryRow>> {
    let mut query = db.prepare_cached(include_str!("sql/entry_list.sql"))?;
    query.query_map(params![int(after), limit], entry_row)?.collect()
}

pub(crate) fn entry_beside(
    db: &Connection,
    site: &SiteName,
    after: u64,
    limit: u32,
) -> rusqlite::Result<Vec<EntryRow>> {
    let mut query = db.prepare_cached(include_str!("sql/entry_beside_list.sql"))?;
    query.query_map(params![site.as_str(), int(after), limit], entry_row)?.collect()
}
