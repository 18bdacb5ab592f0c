//! One line: a WebSocket whose other end is a site, and the desk that hears it.

use std::collections::VecDeque;
use std::time::Duration;

use base::SiteName;
use futures::{Sink, SinkExt as _, Stream, StreamExt as _};
use identity::Certificate;
use link::{MESSAGE_BYTES_MAX, pack, unpack};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_util::sync::CancellationToken;
use wire::link::{HubFrame, RefuseCode, Refused, RefusedCode, SiteFrame};

use crate::desk::{Desks, Down, Line};

/// From the connection to the first frame, whatever else is sent meanwhile.
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
    /// The desk has sent it away, and may have said why.
    SentAway(Option<RefusedCode>),
    Silent,
    /// Its certificate has ended: it comes again with a new one.
    Expired,
    /// The hub stops.
    Stopping,
    /// It wants nothing to do with this hub.
    Refuses(RefuseCode),
    /// It has broken the rules.
    Bad(String),
    TooLarge,
    Failed(crate::desk::DeskError),
}

/// Until one of the two ends has had enough. Gives why, where the site has broken the rules.
///
/// What is done in passing is boxed: of ten thousand lines at rest, none keeps room for it.
pub(crate) async fn serve<S>(
    desks: &Desks,
    site: SiteName,
    shown: &Certificate,
    left: Duration,
    stream: S,
    closing: CancellationToken,
) -> Option<String>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (line, down) = match Box::pin(desks.open(&site, shown)).await {
        Ok(opened) => opened,
        Err(error) => {
            tracing::warn!(%site, %error, "cannot open the line");
            return None;
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
    if let Err(error) = Box::pin(line.close(heard.elapsed())).await {
        tracing::warn!(%site, %error, "cannot close the line");
    }
    if matches!(ended, Ended::Stopping) {
        return None;
    }
    let last = match &ended {
        Ended::Bad(_) => Some(RefusedCode::BadFrame),
        Ended::Failed(_) => Some(RefusedCode::Overloaded),
        Ended::Gone
        | Ended::SentAway(_)
        | Ended::Refuses(_)
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
    let _ = timeout(WRITE_TIMEOUT, Box::pin(farewell)).await;
    match ended {
        Ended::SentAway(code) => code.and_then(turned_away).map(str::to_owned),
        Ended::Gone | Ended::Expired | Ended::Stopping => {
            tracing::debug!(%site, ?ended, "the line has ended");
            None
        }
        Ended::Failed(error) => {
            tracing::warn!(%site, %error, "the line was cut");
            None
        }
        Ended::Silent => {
            tracing::info!(%site, "the line was cut: nothing was heard for too long");
            None
        }
        Ended::Refuses(code) => refuses(code).map(str::to_owned),
        Ended::Bad(what) => Some(what),
        Ended::TooLarge => Some(format!("a message of more than {MESSAGE_BYTES_MAX} bytes")),
    }
}

/// What is told of somebody whom the desk has sent away, where he is not simply to come again.
fn turned_away(code: RefusedCode) -> Option<&'static str> {
    match code {
        RefusedCode::Quarantined => Some("it may be a copy of the site, which is in quarantine"),
        RefusedCode::RetiredIncarnation => Some("it is of a life of the site that is over"),
        RefusedCode::Revoked => Some("the site was revoked"),
        RefusedCode::UnknownSite => Some("it says that it is another site"),
        RefusedCode::NoCommonVersion => Some("it speaks no version of the link that is known here"),
        RefusedCode::BadFrame => Some("a frame that makes no sense where it came"),
        RefusedCode::ChainDiffers => Some("entries that do not fit what they say"),
        RefusedCode::Replaced | RefusedCode::Overloaded => None,
    }
}

/// The same of a site that has sent this hub away.
fn refuses(code: RefuseCode) -> Option<&'static str> {
    match code {
        RefuseCode::ChainDiffers => Some("the site says that this hub has counted otherwise"),
        RefuseCode::HubRetired => Some(
            "the site refuses this hub: it knows another one of the same name, which was brought \
             back from a backup later, or is not of this one's past",
        ),
        RefuseCode::BadFrame => Some("the site does not understand this hub"),
        RefuseCode::EditionUnsigned => {
            Some("the site refuses this hub: its edition is not signed for that site")
        }
        RefuseCode::EditionForked => Some(
            "the site refuses this hub: it has another edition of the same number, from another \
             hub of this name",
        ),
        RefuseCode::Left => None,
    }
}

/// What is no WebSocket is not a line that broke.
fn broken(error: &Error) -> Ended {
    match error {
        Error::Capacity(_) => Ended::TooLarge,
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => Ended::Gone,
        Error::Protocol(_) | Error::Utf8(_) => Ended::Bad(format!("no WebSocket: {error}")),
        _ => Ended::Gone,
    }
}

async fn read(
    line: &Line,
    mut source: impl Stream<Item = Result<Message, Error>> + Unpin,
    heard: &mut Instant,
) -> Ended {
    let hello = Instant::now() + HELLO_TIMEOUT;
    let mut has_spoken = false;
    loop {
        let patience = if has_spoken { Instant::now() + SILENCE_MAX } else { hello };
        let message = match timeout_at(patience, source.next()).await {
            Err(_) if has_spoken => return Ended::Silent,
            Err(_) => return Ended::Bad("no frame in time".to_owned()),
            Ok(None) => return Ended::Gone,
            Ok(Some(Err(error))) => return broken(&error),
            Ok(Some(Ok(message))) => message,
        };
        *heard = Instant::now();
        line.heard();
        let bytes = match message {
            Message::Binary(bytes) => bytes,
            // The library answers pings.
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => continue,
            Message::Close(_) => return Ended::Gone,
            Message::Text(_) => return Ended::Bad("text, where frames are binary".to_owned()),
        };
        let json = match unpack(&bytes) {
            Ok(json) => json,
            Err(error) => return Ended::Bad(error.to_string()),
        };
        let Ok(frame) = SiteFrame::decode(&json) else {
            return Ended::Bad("a message that is no frame".to_owned());
        };
        has_spoken = true;
        let refused = match &frame {
            SiteFrame::Refuse(refuse) => Some(refuse.code),
            _ => None,
        };
        if let Err(error) = Box::pin(line.hear(frame)).await {
            return Ended::Failed(error);
        }
        if let Some(code) = refused {
            return Ended::Refuses(code);
        }
    }
}

/// Documents wait for all else: they are large, and the line may be slow.
async fn next(
    down: &mut mpsc::UnboundedReceiver<Down>,
    documents: &mut VecDeque<Down>,
) -> Option<Down> {
    while let Ok(next) = down.try_recv() {
        match &next {
            Down::Frame(frame, _) if matches!(**frame, HubFrame::Document(_)) => {
                documents.push_back(next);
            }
            _ => return Some(next),
        }
    }
    match documents.pop_front() {
        Some(document) => Some(document),
        None => down.recv().await,
    }
}

async fn write(
    sink: &mut (impl Sink<Message, Error = Error> + Unpin),
    mut down: mpsc::UnboundedReceiver<Down>,
) -> Ended {
    let (mut refused, mut documents) = (None, VecDeque::new());
    while let Some(Down::Frame(frame, _permit)) = next(&mut down, &mut documents).await {
        if let HubFrame::Refused(why) = frame.as_ref() {
            refused = Some(why.code);
        }
        let message = Message::Binary(pack(&frame.encode()).into());
        match timeout(WRITE_TIMEOUT, sink.send(message)).await {
            Err(_) => return Ended::Silent,
            Ok(Err(_)) => return Ended::Gone,
            Ok(Ok(())) => {}
        }
    }
    Ended::SentAway(refused)
}

#[cfg(test)]
mod tests {
    use base::Digest;
    use wire::link::{Document, Orders};

    use super::*;

    /// Mutation: send what comes first, first, or wait with a document until something else comes.
    #[tokio::test]
    async fn documents_wait_for_all_else() {
        let (sender, mut down) = mpsc::unbounded_channel();
        let (text, piece) = (Digest::of(b"text"), String::new());
        let document = HubFrame::Document(Document { text, total: 1, offset: 0, piece });
        let orders = HubFrame::Orders(Orders { orders: Vec::new() });
        for frame in [document, orders] {
            sender.send(Down::Frame(Box::new(frame), None)).expect("it is read");
        }
        let mut documents = VecDeque::new();
        for is_document in [false, true] {
            let Some(Down::Frame(frame, _)) = next(&mut down, &mut documents).await else {
                panic!("there is more");
            };
            assert_eq!(matches!(*frame, HubFrame::Document(_)), is_document);
        }
    }
}
