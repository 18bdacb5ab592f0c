//! The line between site and hub: what waits for the other end.
//!
//! Statements are rare here, and so prepared when they are needed.

use base::stream::{Head, Stream};
use base::{OrderId, RequestId, SiteName, Timestamp};
use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use store::{CommitError, OrderRow, OrdersOf, OutboxRow, ReceiptRow};

use crate::apply::{Applier, Refusal};
use crate::convert::{self, bytes, int, stream_code, time, time_or_none, uint};

impl Applier<'_> {
    pub(crate) fn link_put(&self, link: &[u8]) -> Result<(), Refusal> {
        self.db.prepare_cached(include_str!("sql/meta_put.sql"))?.execute(params![LINK, link])?;
        Ok(())
    }

    pub(crate) fn outbox_put(&self, row: &OutboxRow) -> Result<(), Refusal> {
        self.db.prepare_cached(include_str!("sql/outbox_put.sql"))?.execute(params![
            stream_code(row.stream),
            int(row.base.position),
            row.base.digest.as_bytes(),
            int(row.mark.position),
            row.mark.digest.as_bytes(),
        ])?;
        Ok(())
    }

    pub(crate) fn outbox_mark(&self, stream: Stream, mark: Head) -> Result<(), Refusal> {
        let kept = || Refusal::from(CommitError::OutboxKept(stream));
        let before = outbox_get(self.db, stream)?.ok_or_else(kept)?;
        if mark.position < before.base.position {
            return Err(kept());
        }
        self.outbox_put(&OutboxRow { mark, ..before })
    }

    pub(crate) fn outbox_forget(&self, stream: Stream, base: Head) -> Result<(), Refusal> {
        let kept = || Refusal::from(CommitError::OutboxKept(stream));
        let before = outbox_get(self.db, stream)?.ok_or_else(kept)?;
        if base.position > before.mark.position {
            return Err(kept());
        }
        if base.position <= before.base.position {
            return Ok(());
        }
        self.outbox_put(&OutboxRow { base, ..before })?;
        let (from, to) = (int(before.base.position), int(base.position));
        match stream {
            Stream::Outcome => self.outcomes_forget(from, to),
            Stream::Receipt => {
                let delete = "DELETE FROM receipts WHERE position <= ?1";
                self.db.prepare_cached(delete)?.execute([to])?;
                Ok(())
            }
        }
    }

    /// Those of runs that are there stay with them.
    fn outcomes_forget(&self, from: i64, to: i64) -> Result<(), Refusal> {
        let mut delete = self.db.prepare_cached(include_str!("sql/outcome_forget.sql"))?;
        let runs: rusqlite::Result<Vec<i64>> =
            delete.query_map([from, to], |row| row.get(0))?.collect();
        for run in runs? {
            self.name_forget(run)?;
        }
        Ok(())
    }

    /// The name of a run that is gone stays as long as anything else of it does.
    pub(crate) fn name_forget(&self, run: i64) -> Result<(), Refusal> {
        let delete = "DELETE FROM forgotten WHERE run = ?1 AND cleared = 1
            AND NOT EXISTS (SELECT 1 FROM outcomes WHERE outcomes.run = ?1)";
        self.db.prepare_cached(delete)?.execute([run])?;
        Ok(())
    }

    pub(crate) fn receipt_put(&self, row: &ReceiptRow) -> Result<(), Refusal> {
        let mut put = self.db.prepare_cached(include_str!("sql/receipt_put.sql"))?;
        let (at, receipt) = (row.at.as_millis(), row.receipt.as_ref());
        match put.execute(params![row.order.as_uuid().as_bytes(), at, receipt])? {
            0 => Err(CommitError::ReceiptExists(row.order).into()),
            _ => Ok(()),
        }
    }

    pub(crate) fn order_put(&self, row: &OrderRow) -> Result<(), Refusal> {
        self.db.prepare_cached(include_str!("sql/order_put.sql"))?.execute(params![
            row.order.as_uuid().as_bytes(),
            row.site.as_str(),
            row.at.as_millis(),
            row.until.as_millis(),
            row.body.as_ref(),
            row.request.as_ref().map(|request| request.as_uuid().as_bytes()),
        ])?;
        Ok(())
    }

    pub(crate) fn order_judge(&self, order: OrderId, at: Timestamp) -> Result<(), Refusal> {
        let mut judge = self.db.prepare_cached(include_str!("sql/order_judge.sql"))?;
        match judge.execute(params![order.as_uuid().as_bytes(), at.as_millis()])? {
            0 => Err(CommitError::OrderClosed(order).into()),
            _ => Ok(()),
        }
    }

    pub(crate) fn order_close(
        &self,
        order: OrderId,
        site: &SiteName,
        at: Timestamp,
    ) -> Result<(), Refusal> {
        let mut close = self.db.prepare_cached(include_str!("sql/order_close.sql"))?;
        close.execute(params![order.as_uuid().as_bytes(), at.as_millis(), site.as_str()])?;
        Ok(())
    }

    pub(crate) fn order_forget(&self, order: OrderId) -> Result<(), Refusal> {
        let mut forget = self.db.prepare_cached(include_str!("sql/order_forget.sql"))?;
        forget.execute([order.as_uuid().as_bytes()])?;
        Ok(())
    }
}

/// Under which key `meta` has what the site knows of its hub.
const LINK: &str = "link";

pub(crate) fn link_get(db: &Connection) -> rusqlite::Result<Option<Bytes>> {
    let found: Option<Vec<u8>> = crate::open::meta(db, LINK)?;
    Ok(found.map(Bytes::from))
}

fn head(row: &Row<'_>, column: usize) -> rusqlite::Result<Head> {
    Ok(Head { position: uint(row, column)?, digest: convert::digest(row, column + 1)? })
}

pub(crate) fn outbox_get(db: &Connection, stream: Stream) -> rusqlite::Result<Option<OutboxRow>> {
    let mut query = db.prepare_cached(include_str!("sql/outbox_get.sql"))?;
    let found = query.query_row([stream_code(stream)], |row| {
        Ok(OutboxRow { stream, base: head(row, 0)?, mark: head(row, 2)? })
    });
    found.optional()
}

pub(crate) fn outbox_last(db: &Connection, stream: Stream) -> rusqlite::Result<u64> {
    let table = match stream {
        Stream::Outcome => "outcomes",
        Stream::Receipt => "receipts",
    };
    let mut query = db.prepare_cached(include_str!("sql/outbox_last.sql"))?;
    Ok(query.query_row([table], |row| uint(row, 0)).optional()?.unwrap_or(0))
}

fn order(row: &Row<'_>, column: usize) -> rusqlite::Result<OrderId> {
    row.get(column).map(|bytes| OrderId::from_uuid(uuid::Uuid::from_bytes(bytes)))
}

pub(crate) fn receipt_list(
    db: &Connection,
    after: u64,
    limit: u32,
) -> rusqlite::Result<Vec<ReceiptRow>> {
    let mut query = db.prepare_cached(include_str!("sql/receipt_list.sql"))?;
    query.query_map(params![int(after), limit], receipt_row)?.collect()
}

fn receipt_row(row: &Row<'_>) -> rusqlite::Result<ReceiptRow> {
    Ok(ReceiptRow {
        position: uint(row, 0)?,
        order: order(row, 1)?,
        at: time(row, 2)?,
        receipt: bytes(row, 3)?,
    })
}

pub(crate) fn receipt_get(db: &Connection, order: OrderId) -> rusqlite::Result<Option<ReceiptRow>> {
    let mut query = db.prepare_cached(include_str!("sql/receipt_get.sql"))?;
    query.query_row([order.as_uuid().as_bytes()], receipt_row).optional()
}

fn order_row(row: &Row<'_>) -> rusqlite::Result<OrderRow> {
    let request: Option<[u8; 16]> = row.get(7)?;
    Ok(OrderRow {
        position: uint(row, 0)?,
        order: order(row, 1)?,
        site: convert::site(row, 2)?,
        at: time(row, 3)?,
        until: time(row, 4)?,
        request: request.map(|bytes| RequestId::from_uuid(uuid::Uuid::from_bytes(bytes))),
        body: bytes(row, 5)?,
        closed_at: time_or_none(row, 6)?,
    })
}

pub(crate) fn order_get(db: &Connection, order: OrderId) -> rusqlite::Result<Option<OrderRow>> {
    let mut query = db.prepare_cached(include_str!("sql/order_get.sql"))?;
    query.query_row([order.as_uuid().as_bytes()], order_row).optional()
}

pub(crate) fn order_list(
    db: &Connection,
    of: &OrdersOf,
    before: Option<u64>,
    limit: u32,
) -> rusqlite::Result<Vec<OrderRow>> {
    let before = int(before.unwrap_or(u64::MAX));
    let page = params![before, limit];
    match of {
        OrdersOf::All => {
            let mut query = db.prepare_cached(include_str!("sql/order_list.sql"))?;
            query.query_map(page, order_row)?.collect()
        }
        OrdersOf::Site(site) => {
            let mut query = db.prepare_cached(include_str!("sql/order_list_site.sql"))?;
            query.query_map(params![before, limit, site.as_str()], order_row)?.collect()
        }
        OrdersOf::Request(request) => {
            let mut query = db.prepare_cached(include_str!("sql/order_list_request.sql"))?;
            let request = request.as_uuid().as_bytes();
            query.query_map(params![before, limit, request], order_row)?.collect()
        }
    }
}

pub(crate) fn order_open(
    db: &Connection,
    site: &SiteName,
    after: u64,
    limit: u32,
) -> rusqlite::Result<Vec<OrderRow>> {
    let mut query = db.prepare_cached(include_str!("sql/order_open.sql"))?;
    query.query_map(params![site.as_str(), int(after), limit], order_row)?.collect()
}

pub(crate) fn order_past(
    db: &Connection,
    until: Timestamp,
    limit: u32,
) -> rusqlite::Result<Vec<OrderId>> {
    let mut query = db.prepare_cached(include_str!("sql/order_past.sql"))?;
    query.query_map(params![until.as_millis(), limit], |row| order(row, 0))?.collect()
}

pub(crate) fn order_unasked(
    db: &Connection,
    until: Timestamp,
    after: Option<(Timestamp, u64)>,
    limit: u32,
) -> rusqlite::Result<Vec<OrderRow>> {
    let mut query = db.prepare_cached(include_str!("sql/order_unasked.sql"))?;
    let (time, position) = after.map_or((i64::MIN, 0), |(at, it)| (at.as_millis(), int(it)));
    query.query_map(params![until.as_millis(), time, position, limit], order_row)?.collect()
}
