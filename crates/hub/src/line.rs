//! One line: a WebSocket whose other end is a site, and the desk that hears it.

use std::time::Duration;

use base::SiteName;
use futures::{Sink, SinkExt as _, Stream, StreamExt as _};
use identity::Certificate;
use link::{MESSAGE_BYTES_MAX, pack, unpack};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_util::sync::CancellationToken;
use wire::link::{HubFrame, Refused, RefusedCode, SiteFrame};

use crate::desk::{Desks, Down, Line};

/// From the connection to the first frame.
const HELLO_TIMEOUT: Duration = Duration::from_secs(20);

/// A site says something, if only that it is there, every minute.
const SILENCE_MAX: Duration = Duration::from_secs(150);

/// A site that does not read for so long is gone.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// Ten thousand lines at once: what is read and written in passing stays small.
const BUFFER_BYTES: usize = 4 * 1024;

fn config() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(BUFFER_BYTES)
        .write_buffer_size(0)
        .max_write_buffer_size(2 * MESSAGE_BYTES_MAX)
        .max_message_size(Some(MESSAGE_BYTES_MAX))
        .max_frame_size(Some(MESSAGE_BYTES_MAX))
}

/// Why a line ended, for the log. Never with what was said.
#[derive(Debug)]
enum Ended {
    /// The site went, or the line broke.
    Gone,
    /// The desk has sent it away.
    SentAway,
    Silent,
    /// Its certificate has ended: it comes again with a new one.
    Expired,
    /// The hub stops.
    Stopping,
    Bad(&'static str),
    TooLarge,
    Failed(crate::desk::DeskError),
}

/// Until one of the two ends has had enough.
pub(crate) async fn serve<S>(
    desks: &Desks,
    site: SiteName,
    shown: &Certificate,
    left: Duration,
    stream: S,
    closing: CancellationToken,
) where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (line, down) = match desks.open(&site, shown).await {
        Ok(opened) => opened,
        Err(error) => {
            tracing::warn!(%site, %error, "cannot open the line");
            return;
        }
    };
    let socket = WebSocketStream::from_raw_socket(stream, Role::Server, Some(config())).await;
    let (mut sink, source) = socket.split();
    let mut heard = Instant::now();
    let ended = {
        let (reading, writing) = (read(&line, source, &mut heard), write(&mut sink, down));
        tokio::select! {
            ended = reading => ended,
            ended = writing => ended,
            () = sleep(left) => Ended::Expired,
            () = closing.cancelled() => Ended::Stopping,
        }
    };
    // First: what is said to whoever has gone takes its time.
    if let Err(error) = line.close(heard.elapsed()).await {
        tracing::warn!(%site, %error, "cannot close the line");
    }
    if matches!(ended, Ended::Stopping) {
        return;
    }
    let last = match &ended {
        Ended::Bad(_) => Some(RefusedCode::BadFrame),
        Ended::Failed(_) => Some(RefusedCode::Overloaded),
        Ended::Gone
        | Ended::SentAway
        | Ended::Silent
        | Ended::Expired
        | Ended::Stopping
        | Ended::TooLarge => None,
    };
    let close = CloseFrame {
        code: if matches!(ended, Ended::TooLarge) { CloseCode::Size } else { CloseCode::Normal },
        reason: "".into(),
    };
    let farewell = async {
        if let Some(code) = last {
            let refused = HubFrame::Refused(Refused { code, retry_after_ms: None });
            sink.send(Message::Binary(pack(&refused.encode()).into())).await?;
        }
        sink.send(Message::Close(Some(close))).await
    };
    // Whoever has gone does not hear it.
    let _ = timeout(WRITE_TIMEOUT, farewell).await;
    match ended {
        Ended::Gone | Ended::SentAway | Ended::Expired | Ended::Stopping => {
            tracing::debug!(%site, ?ended, "the line has ended")
        }
        Ended::Failed(error) => tracing::warn!(%site, %error, "the line was cut"),
        Ended::Bad(what) => tracing::info!(%site, what, "the line was cut"),
        Ended::Silent | Ended::TooLarge => tracing::info!(%site, ?ended, "the line was cut"),
    }
}

async fn read(
    line: &Line,
    mut source: impl Stream<Item = Result<Message, Error>> + Unpin,
    heard: &mut Instant,
) -> Ended {
    let mut patience = HELLO_TIMEOUT;
    loop {
        let message = match timeout(patience, source.next()).await {
            Err(_) => return Ended::Silent,
            Ok(None) => return Ended::Gone,
            Ok(Some(Err(Error::Capacity(_)))) => return Ended::TooLarge,
            Ok(Some(Err(_))) => return Ended::Gone,
            Ok(Some(Ok(message))) => message,
        };
        *heard = Instant::now();
        let bytes = match message {
            Message::Binary(bytes) => bytes,
            // The library answers pings.
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => continue,
            Message::Close(_) => return Ended::Gone,
            Message::Text(_) => return Ended::Bad("text"),
        };
        let Ok(json) = unpack(&bytes) else { return Ended::Bad("not a frame") };
        let Ok(frame) = SiteFrame::decode(&json) else { return Ended::Bad("not a frame") };
        patience = SILENCE_MAX;
        if let Err(error) = line.hear(frame).await {
            return Ended::Failed(error);
        }
    }
}

async fn write(
    sink: &mut (impl Sink<Message, Error = Error> + Unpin),
    mut down: mpsc::UnboundedReceiver<Down>,
) -> Ended {
    while let Some(Down::Frame(frame, _permit)) = down.recv().await {
        let message = Message::Binary(pack(&frame.encode()).into());
        match timeout(WRITE_TIMEOUT, sink.send(message)).await {
            Err(_) => return Ended::Silent,
            Ok(Err(_)) => return Ended::Gone,
            Ok(Ok(())) => {}
        }
    }
    Ended::SentAway
}
