//! What goes over the connection to the hub: in which order, by what right, and how it is read.

use std::time::Duration;

use base::stream::Stream;
use futures::{Sink, SinkExt as _};
use link::unpack;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::{Error, Message};
use wire::dispatch::is_entry;
use wire::lease::is_word;
use wire::link::{HubFrame, SiteFrame};
use wire::usage::is_usage;

use super::LineError;

/// A hub that takes nothing for so long is gone.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// What goes to the hub.
pub(super) struct Outgoing<'a> {
    /// Which it is.
    pub to: &'a str,
    pub queue: mpsc::UnboundedSender<Message>,
    /// They wait for all else: there may be many of them, and the line may be slow.
    pub outcomes: mpsc::UnboundedSender<Message>,
}

/// By what right a frame leaves: each kind is a closed list, field by field in `docs/spec/link.md`.
pub(super) fn rule(frame: &SiteFrame) -> &'static str {
    match frame {
        SiteFrame::Hello(_) => "link/hello",
        SiteFrame::Proof(_) => "link/proof",
        SiteFrame::Ready(_) => "link/ready",
        SiteFrame::Begin(_) => "link/begin",
        SiteFrame::Entries(entries) => match entries.stream {
            Stream::Outcome => "link/outcome",
            Stream::Receipt if entries.entries.iter().any(|it| is_entry(it.get())) => {
                "link/dispatch"
            }
            Stream::Receipt if entries.entries.iter().any(|it| is_word(it.get())) => "link/lease",
            Stream::Receipt if entries.entries.iter().any(|it| is_usage(it.get())) => "link/usage",
            Stream::Receipt => "link/receipt",
        },
        SiteFrame::Have(_) => "link/have",
        SiteFrame::Want(_) => "link/want",
        SiteFrame::Health(_) => "link/health",
        SiteFrame::Refuse(_) => "link/refuse",
    }
}

pub(super) fn broken(error: Error) -> LineError {
    LineError::Broken(error.to_string())
}

pub(super) fn closed() -> LineError {
    LineError::Broken("the hub has closed it".to_owned())
}

pub(super) type Socket = tokio_tungstenite::WebSocketStream<gateway::uplink::HubStream>;

/// Nothing where the message is no frame, but a sign of life.
pub(super) fn frame(message: &Message) -> Result<Option<HubFrame>, LineError> {
    match message {
        Message::Binary(bytes) => {
            let json = unpack(bytes).map_err(|_| LineError::Frame)?;
            HubFrame::decode(&json).map(Some).map_err(|_| LineError::Frame)
        }
        Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => Ok(None),
        Message::Close(_) => Err(closed()),
        Message::Text(_) => Err(LineError::Frame),
    }
}

pub(super) async fn write(
    sink: &mut (impl Sink<Message, Error = Error> + Unpin),
    mut waiting: mpsc::UnboundedReceiver<Message>,
    mut outcomes: mpsc::UnboundedReceiver<Message>,
) -> LineError {
    loop {
        let message = tokio::select! {
            biased;
            message = waiting.recv() => match message {
                Some(message) => message,
                // Outcomes that are left here are sent again.
                None => return closed(),
            },
            Some(message) = outcomes.recv() => message,
        };
        match timeout(WRITE_TIMEOUT, sink.send(message)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return broken(error),
            Err(_) => return LineError::Silent,
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::StreamExt as _;

    use super::*;

    /// Mutation: send what comes first, first.
    #[tokio::test]
    async fn outcomes_wait_for_all_else() {
        let (queue, waiting) = mpsc::unbounded_channel();
        let (outcomes, many) = mpsc::unbounded_channel();
        let (sink, source) = futures::channel::mpsc::unbounded();
        let mut sink = sink.sink_map_err(|_| Error::ConnectionClosed);
        for (queue, text) in [(&outcomes, "a"), (&outcomes, "b"), (&queue, "receipt")] {
            queue.send(Message::text(text)).expect("it is read");
        }
        let writing = async {
            write(&mut sink, waiting, many).await;
        };
        let reading = async {
            let sent: Vec<Message> = source.take(3).collect().await;
            drop(queue);
            sent.iter().map(Message::to_string).collect::<Vec<_>>()
        };
        let (sent, ()) = tokio::join!(reading, writing);
        assert_eq!(sent, ["receipt", "a", "b"]);
    }
}
