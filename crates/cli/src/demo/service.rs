//! The clinic's referral service, which the demo plays: a server that lives outside the site and
//! survives its death. What it answers is decided in `book`.

use std::convert::Infallible;
use std::future::pending;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper::{Method, Request, StatusCode};
use serde::Deserialize;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::book::{Answer, Book};
use super::listen::{Answered, Unanswered, accept, response};
use crate::failure::{Failure, Outcome};

/// A referral is one short object.
const BODY_BYTES_MAX: usize = 16 * 1024;

/// Up until it is dropped.
#[derive(Debug)]
pub struct Service {
    address: SocketAddr,
    desk: Arc<Desk>,
    _accepting: JoinSet<Infallible>,
}

#[derive(Debug)]
struct Desk {
    book: Mutex<Book>,
    held: Notify,
}

#[derive(Deserialize)]
struct Referral {
    row: u64,
}

impl Service {
    /// Listens on this machine; port 0 is any free one.
    pub async fn start(port: u16, book: Book) -> Outcome<Self> {
        let failed = |cause| {
            Failure::internal(format!("cannot start the referral service on port {port}: {cause}"))
        };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let desk = Arc::new(Desk { book: Mutex::new(book), held: Notify::new() });
        let mut accepting = JoinSet::new();
        let at_desk = Arc::clone(&desk);
        let answer = move |request| {
            let desk = Arc::clone(&at_desk);
            async move { desk.answer(request).await }
        };
        accepting.spawn(accept(listener, answer));
        Ok(Self { address, desk, _accepting: accepting })
    }

    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns when the request that is held has come.
    pub async fn held(&self) {
        self.desk.held.notified().await;
    }

    /// The book as it is now.
    #[must_use]
    pub fn book(&self) -> Book {
        self.desk.book().clone()
    }
}

impl Desk {
    fn book(&self) -> MutexGuard<'_, Book> {
        // A request is written down by one call, so no panic leaves it half written.
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn answer(&self, request: Request<Incoming>) -> Answered {
        if request.method() != Method::POST || request.uri().path() != "/referrals" {
            return Ok(response(StatusCode::NOT_FOUND, r#"{"wanted":"POST /referrals"}"#.into()));
        }
        let key = request
            .headers()
            .get("idempotency-key")
            .and_then(|key| key.to_str().ok())
            .map(str::to_owned);
        let body = Limited::new(request.into_body(), BODY_BYTES_MAX).collect().await;
        let referral =
            body.ok().and_then(|body| serde_json::from_slice::<Referral>(&body.to_bytes()).ok());
        let (Some(key), Some(Referral { row })) = (key, referral) else {
            return Ok(response(
                StatusCode::BAD_REQUEST,
                r#"{"wanted":"an Idempotency-Key, and a row"}"#.into(),
            ));
        };
        let answer = self.book().take(&key, row);
        match answer {
            Answer::Booked { referral } => Ok(response(
                StatusCode::OK,
                serde_json::json!({ "referral": referral, "row": row }).to_string(),
            )),
            Answer::Refused => {
                Ok(response(StatusCode::SERVICE_UNAVAILABLE, r#"{"busy":true}"#.into()))
            }
            Answer::Nothing => Err(Unanswered),
            Answer::Held => {
                self.held.notify_one();
                pending::<Infallible>().await;
                Err(Unanswered)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;

    use super::*;

    /// The status line of the answer, or nothing where the connection was closed without one.
    async fn ask(service: &Service, key: &str, row: u64) -> String {
        let body = format!(r#"{{"row":{row},"risk":0.9}}"#);
        let request = format!(
            "POST /referrals HTTP/1.1\r\nhost: x\r\nconnection: close\r\nidempotency-key: {key}\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        said(service, &request).await
    }

    async fn said(service: &Service, request: &str) -> String {
        let mut stream = TcpStream::connect(service.address).await.expect("it listens");
        stream.write_all(request.as_bytes()).await.expect("it reads");
        let mut answer = String::new();
        // A closed connection may be told as an error.
        let _ = stream.read_to_string(&mut answer).await;
        answer.lines().next().unwrap_or_default().to_owned()
    }

    /// Mutation: answer 500 instead of nothing, or close every connection after its first request.
    #[tokio::test]
    async fn it_answers_refuses_and_says_nothing_at_all() {
        let service = Service::start(0, Book::default()).await.expect("a free port");
        let mut heard = Vec::new();
        for request in 1..=11 {
            heard.push(ask(&service, &format!("k{request}"), request).await);
        }
        let ok = "HTTP/1.1 200 OK";
        let busy = "HTTP/1.1 503 Service Unavailable";
        assert_eq!(heard, [ok, ok, ok, ok, ok, ok, busy, ok, ok, ok, ""]);
        assert_eq!(
            service.book().entries().filter(|(_, entry)| entry.effects.len() == 1).count(),
            10
        );
    }

    /// Mutation: book a referral for whatever is asked.
    #[tokio::test]
    async fn it_books_nothing_without_key_or_row() {
        let service = Service::start(0, Book::default()).await.expect("a free port");
        let no_key = "POST /referrals HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 9\r\n\r\n{\"row\":1}";
        assert_eq!(said(&service, no_key).await, "HTTP/1.1 400 Bad Request");
        let elsewhere = "GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
        assert_eq!(said(&service, elsewhere).await, "HTTP/1.1 404 Not Found");
        assert_eq!(service.book().requests(), 0);
    }

    /// Mutation: tell of the held request before it is written down, or never.
    #[tokio::test]
    async fn it_tells_when_the_held_request_has_come() {
        let service = Service::start(0, Book::new(Some(1))).await.expect("a free port");
        let held = tokio::select! {
            answer = ask(&service, "k", 5) => panic!("it was answered: {answer}"),
            () = service.held() => service.book().held().cloned(),
        };
        assert_eq!(held.map(|held| held.row), Some(5));
        assert_eq!(ask(&service, "k", 5).await, "HTTP/1.1 200 OK");
    }
}
