//! Answers every chat with the same words: whole, as a stream of fifty pieces, or, where the question says
//! `hold`, as one piece and then nothing more.

use std::convert::Infallible;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt as _, stream};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use crate::Outcome;

const WHOLE: &str = r#"{"id":"chatcmpl-1","object":"chat.completion","created":1700000000,"model":"gpt-4o-mini","choices":[{"index":0,"message":{"role":"assistant","content":"Hello from the upstream. This is a fixed answer of some thirty tokens, so that a gateway has something to read and to count."},"finish_reason":"stop","logprobs":null}],"usage":{"prompt_tokens":24,"completion_tokens":30,"total_tokens":54}}"#;

const PIECE: &str = "data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,\"model\":\"gpt-4o-mini\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"word \"},\"finish_reason\":null}]}\n\n";

const LAST: &str = "data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,\"model\":\"gpt-4o-mini\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":24,\"completion_tokens\":50,\"total_tokens\":74}}\n\ndata: [DONE]\n\n";

/// Of a stream.
const PIECES: usize = 50;

type Body = BoxBody<Bytes, Infallible>;

pub async fn serve(listener: TcpListener, delay: Duration) -> Outcome<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let service = service_fn(move |request| answer(request, delay));
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

async fn answer(
    request: Request<Incoming>,
    delay: Duration,
) -> Result<Response<Body>, hyper::Error> {
    let asked = request.into_body().collect().await?.to_bytes();
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
    let has = |word: &str| memchr::memmem::find(&asked, word.as_bytes()).is_some();
    let (kind, body) = if has("\"stream\":true") {
        ("text/event-stream", pieces(has("hold")))
    } else {
        ("application/json", Full::new(Bytes::from_static(WHOLE.as_bytes())).boxed())
    };
    let mut response = Response::new(body);
    response.headers_mut().insert("content-type", http::HeaderValue::from_static(kind));
    Ok(response)
}

fn pieces(is_held: bool) -> Body {
    type Pieces = Pin<Box<dyn futures::Stream<Item = Bytes> + Send + Sync>>;
    let piece = Bytes::from_static(PIECE.as_bytes());
    let pieces: Pieces = if is_held {
        Box::pin(stream::iter([piece]).chain(stream::pending()))
    } else {
        let last = Bytes::from_static(LAST.as_bytes());
        Box::pin(stream::iter(std::iter::repeat_n(piece, PIECES).chain([last])))
    };
    BodyExt::boxed(StreamBody::new(pieces.map(|piece| Ok(Frame::data(piece)))))
}
