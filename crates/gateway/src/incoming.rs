//! An answer that is read as it comes: whoever asked holds a piece of it, and not the whole.

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use tokio::sync::SemaphorePermit;

use crate::client::{ReadError, chunk, read};
use crate::gate::Gate;
use crate::out::{OutError, OutRequest, OutResponse};

/// The head of an answer, and its body to come. Dropping it closes the connection.
#[derive(Debug)]
pub struct Incoming<'a> {
    pub(crate) gate: &'a Gate,
    /// The request that this answers: the last one, after redirects.
    pub(crate) request: OutRequest,
    pub(crate) response: reqwest::Response,
    /// Given back when the answer is whole, or when nobody waits for it any more.
    pub(crate) _place: Option<SemaphorePermit<'a>>,
}

impl Incoming<'_> {
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.response.status()
    }

    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        self.response.headers()
    }

    /// The next piece of the body; nothing at its end. How many there may be is the caller's to say.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, OutError> {
        let chunk = chunk(&mut self.response).await;
        match &chunk {
            Ok(Some(_)) => {}
            Ok(None) => self.gate.count_answered(),
            Err(_) => self.gate.count_failed(),
        }
        chunk.map_err(|error| self.told(error, 0))
    }

    /// All of it, where that is not more than the gate's limit.
    pub async fn whole(mut self) -> Result<OutResponse, OutError> {
        let (status, headers) = (self.status(), self.headers().clone());
        let limit = self.gate.limits().body_bytes_max;
        match read(&mut self.response, limit).await {
            Ok(body) => {
                self.gate.count_answered();
                Ok(OutResponse { status, headers, body, request: self.request })
            }
            Err(error) => {
                self.gate.count_failed();
                Err(self.told(error, limit))
            }
        }
    }

    fn told(&self, error: ReadError, limit: usize) -> OutError {
        let destination = self.request.destination.to_string();
        match error {
            ReadError::TooLarge => OutError::TooLarge { destination, limit },
            ReadError::Broken(why) => OutError::NoAnswer { destination, why },
        }
    }
}
