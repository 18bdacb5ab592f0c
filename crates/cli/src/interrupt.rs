//! The wish to stop: Ctrl-C, and for what serves also SIGTERM.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::failure::{Failure, Outcome};

/// Heard from the moment that this exists.
#[derive(Debug)]
pub struct Interrupt {
    typed: Signal,
    sent: Option<Signal>,
}

impl Interrupt {
    /// Ctrl-C only: whoever only watches may be ended by anything else at once.
    pub fn typed() -> Outcome<Self> {
        Ok(Self { typed: listen(SignalKind::interrupt())?, sent: None })
    }

    /// Ctrl-C and SIGTERM: there is something to put in order first.
    pub fn any() -> Outcome<Self> {
        Ok(Self {
            typed: listen(SignalKind::interrupt())?,
            sent: Some(listen(SignalKind::terminate())?),
        })
    }

    pub async fn wait(&mut self) {
        match &mut self.sent {
            None => self.typed.recv().await,
            Some(sent) => tokio::select! {
                typed = self.typed.recv() => typed,
                sent = sent.recv() => sent,
            },
        };
    }
}

fn listen(kind: SignalKind) -> Outcome<Signal> {
    signal(kind).map_err(|cause| Failure::internal(format!("cannot listen for signals: {cause}")))
}
