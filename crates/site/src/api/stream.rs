//! Server-sent events: how items stand in a frame, and an answer that sends frames as they come.

use std::convert::Infallible;
use std::fmt::Display;
use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::stream::unfold;
use futures::{Stream, StreamExt as _};
use http::header::CONTENT_TYPE;
use serde::Serialize;
use tokio::time::{MissedTickBehavior, interval};

/// A comment after so much silence keeps a connection from being taken for dead.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// A heartbeat breaks nothing off: what the next frame has begun to wait or ask for goes on.
pub(super) fn response(frames: impl Stream<Item = Bytes> + Send + 'static) -> Response {
    let mut heartbeat = interval(HEARTBEAT);
    heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let start = (Box::pin(frames), heartbeat);
    let beating = unfold(start, |(mut frames, mut heartbeat)| async {
        let frame = tokio::select! {
            biased;
            frame = frames.next() => frame?,
            // The first one comes at once, and tells the client that it is connected.
            _ = heartbeat.tick() => Bytes::from_static(b":\n\n"),
        };
        Some((Ok::<_, Infallible>(frame), (frames, heartbeat)))
    });
    ([(CONTENT_TYPE, "text/event-stream")], Body::from_stream(beating)).into_response()
}

/// Items, each with the id from which a client that reconnects goes on, where it may go on from it.
pub(super) fn frame<'a, T: Serialize + 'a>(
    items: impl IntoIterator<Item = (Option<impl Display>, &'a T)>,
) -> Bytes {
    let mut text = Vec::new();
    for (id, item) in items {
        if let Some(id) = id {
            text.extend_from_slice(format!("id: {id}\n").as_bytes());
        }
        text.extend_from_slice(b"data: ");
        serde_json::to_writer(&mut text, item).expect("our own types have JSON text");
        text.extend_from_slice(b"\n\n");
    }
    text.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mutation: begin the wait for a frame anew after each heartbeat.
    #[tokio::test(start_paused = true)]
    async fn a_frame_that_takes_long_comes_after_heartbeats() {
        let slow = futures::stream::once(async {
            tokio::time::sleep(HEARTBEAT.mul_f32(1.5)).await;
            Bytes::from_static(b"told")
        });
        let sent = response(slow).into_body().into_data_stream();
        let sent: Vec<_> = sent.map(|frame| frame.expect("a frame")).collect().await;
        assert_eq!(sent, [":\n\n", ":\n\n", "told"]);
    }
}
