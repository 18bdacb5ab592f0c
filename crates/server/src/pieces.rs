//! Answers that are made while they are read: lines of JSON, with bytes between them where it says so.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use serde::Serialize;
use tokio::sync::mpsc;

/// Pieces that wait for whoever reads. Each is some kilobytes, of a backup 256 KiB.
const WAITING_MAX: usize = 8;

/// What a job says, piece by piece. It says itself whether it has come to its end.
pub type Pieces = mpsc::Receiver<Bytes>;

/// Where a job says what it has.
#[derive(Clone)]
pub struct Out(mpsc::Sender<Bytes>);

/// Nobody reads any more.
#[derive(Debug)]
pub struct Unread;

#[must_use]
pub fn pieces() -> (Out, Pieces) {
    let (out, pieces) = mpsc::channel(WAITING_MAX);
    (Out(out), pieces)
}

impl Out {
    pub async fn line(&self, line: &(impl Serialize + Sync)) -> Result<(), Unread> {
        let mut text = serde_json::to_vec(line).expect("our own types have JSON text");
        text.push(b'\n');
        self.bytes(text).await
    }

    pub async fn bytes(&self, bytes: impl Into<Bytes>) -> Result<(), Unread> {
        self.0.send(bytes.into()).await.map_err(|_| Unread)
    }

    /// Until nobody reads any more.
    pub async fn unread(&self) {
        self.0.closed().await;
    }
}

/// An answer of pieces.
pub fn stream(pieces: Pieces, kind: &'static str) -> Response {
    let pieces = futures::stream::unfold(pieces, |mut pieces| async {
        let piece = pieces.recv().await?;
        Some((Ok::<_, std::convert::Infallible>(piece), pieces))
    });
    ([(CONTENT_TYPE, kind)], Body::from_stream(pieces)).into_response()
}
