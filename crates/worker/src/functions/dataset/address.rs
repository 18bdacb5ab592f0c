//! Rows from behind an address: asked through the gate, and read as they come.

use std::io::{self, Read};

use base::{Fault, Timestamp, Value};
use bytes::{Buf as _, Bytes};
use gateway::{Incoming, OutError, OutRequest};
use http::header::LAST_MODIFIED;
use http::{HeaderMap, HeaderName};
use tokio::sync::mpsc;

use super::{Certainty, Done, Job, SOURCE_BYTES_MAX, blocking};
use crate::datasets::Format;
use crate::functions::Reach;
use crate::functions::dataset::parquet::Table;
use crate::functions::reading::{CancelOnDrop, Cancelled};
use crate::http::{certainty_of, certainty_without_answer, fault_of, refusal};

/// Pieces of an answer that wait to be read: enough that neither side waits for the other all the time.
const PIECES_WAITING_MAX: usize = 4;

pub(super) async fn read(url: String, job: Job, reach: &Reach) -> Done {
    let mut request = match OutRequest::new("GET", &url, &[]) {
        Ok(request) => request,
        Err(error) => return Done::ended(Err(fault_of(&error))),
    };
    let traceparent = HeaderName::from_static("traceparent");
    if let Err(error) = request.header_default(traceparent, &reach.effect().traceparent) {
        return Done::ended(Err(fault_of(&error)));
    }
    let destination = request.destination().to_string();
    let (opened, ruling) = match reach.open(request).await {
        Ok(opened) => opened,
        Err(fault) => return Done::Denied { fault, rule: "manifest".to_owned() },
    };
    let (result, certainty) = match opened {
        Ok(incoming) if !incoming.status().is_success() => {
            let status = incoming.status();
            (Err(refusal(status, &destination)), certainty_of(status))
        }
        Ok(incoming) => match rows(incoming, job).await {
            Ok(result) => (result, Certainty::Definite),
            Err(error) => (Err(fault_of(&error)), certainty_without_answer(&error)),
        },
        Err(error) => (Err(fault_of(&error)), certainty_without_answer(&error)),
    };
    Done::Sent { result, certainty, ruling: Some(ruling) }
}

/// What came of the rows, or that the answer itself was lost.
async fn rows(incoming: Incoming<'_>, job: Job) -> Result<Result<Value, Fault>, OutError> {
    let modified_at = modified_at(incoming.headers());
    let guard = CancelOnDrop::default();
    let cancelled = guard.flag();
    if job.dataset.format == Format::Parquet {
        // It is read from its end.
        let bytes = incoming.whole().await?.body;
        return Ok(blocking(move || job.table(bytes, cancelled, modified_at)).await);
    }
    let (pieces, waiting) = mpsc::channel(PIECES_WAITING_MAX);
    let too_long = job.too_long();
    let reading = blocking(move || {
        let mut source = job.text(cancelled.over(Pieces { waiting, piece: Bytes::new() }))?;
        job.gather(&mut *source, modified_at)
    });
    let (pumped, result) = tokio::join!(pump(incoming, pieces), reading);
    // Half an answer may have looked like a whole one.
    Ok(match pumped? {
        Pumped::All => result,
        Pumped::TooMuch => Err(too_long),
    })
}

impl Job {
    fn table(
        &self,
        bytes: Bytes,
        cancelled: Cancelled,
        modified_at: Option<Timestamp>,
    ) -> Result<Value, Fault> {
        let mut table = Table::open(bytes, cancelled).map_err(|broken| self.broken(broken))?;
        self.gather(&mut table, modified_at)
    }
}

enum Pumped {
    /// Or as much as somebody wanted.
    All,
    TooMuch,
}

async fn pump(
    mut incoming: Incoming<'_>,
    pieces: mpsc::Sender<io::Result<Bytes>>,
) -> Result<Pumped, OutError> {
    let mut left = SOURCE_BYTES_MAX;
    loop {
        let piece = match incoming.chunk().await {
            Ok(Some(piece)) => piece,
            Ok(None) => return Ok(Pumped::All),
            Err(error) => {
                pieces.send(Err(io::Error::other("broken"))).await.ok();
                return Err(error);
            }
        };
        let Some(less) = left.checked_sub(piece.len() as u64) else {
            pieces.send(Err(io::Error::other("too long"))).await.ok();
            return Ok(Pumped::TooMuch);
        };
        left = less;
        if pieces.send(Ok(piece)).await.is_err() {
            return Ok(Pumped::All);
        }
    }
}

/// The pieces of an answer as one text. Blocks.
struct Pieces {
    waiting: mpsc::Receiver<io::Result<Bytes>>,
    piece: Bytes,
}

impl Read for Pieces {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            match self.waiting.blocking_recv() {
                Some(piece) => self.piece = piece?,
                None => return Ok(0),
            }
        }
        let taken = self.piece.len().min(into.len());
        self.piece.split_to(taken).copy_to_slice(&mut into[..taken]);
        Ok(taken)
    }
}

/// As HTTP says a time; nothing where it is said otherwise.
fn modified_at(headers: &HeaderMap) -> Option<Timestamp> {
    Timestamp::parse_http(headers.get(LAST_MODIFIED)?.to_str().ok()?)
}
