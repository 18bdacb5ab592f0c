//! One HTTP/1.1 connection, driven by the task of whoever has it: no second task, no queue between, and
//! it is known whether a request has left.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::time::Instant;

use super::sent::Sent;
use super::stream::Stream;

type Driver = http1::Connection<TokioIo<Stream>, Sent>;

pub(super) struct Connection {
    sender: http1::SendRequest<Sent>,
    driver: Pin<Box<Driver>>,
    /// Nothing more comes over it.
    is_over: bool,
    pub(super) rests_since: Instant,
}

pub(super) enum Unsent {
    /// Not a byte has left: it may go over another connection.
    Back(Box<Request<Sent>>),
    /// It has left, at least in part.
    Lost(hyper::Error),
}

impl Connection {
    pub(super) async fn over(stream: Stream) -> Result<Self, hyper::Error> {
        let (sender, driver) = http1::handshake(TokioIo::new(stream)).await?;
        let driver = Box::pin(driver);
        Ok(Self { sender, driver, is_over: false, rests_since: Instant::now() })
    }

    /// Up to the head of the answer.
    pub(super) async fn send(
        &mut self,
        request: Request<Sent>,
    ) -> Result<Response<Incoming>, Unsent> {
        if poll_fn(|cx| self.poll_ready(cx)).await.is_err() {
            return Err(Unsent::Back(Box::new(request)));
        }
        let mut answer = pin!(self.sender.try_send_request(request));
        let (driver, is_over) = (&mut self.driver, &mut self.is_over);
        let answered = poll_fn(|cx| {
            drive(driver, is_over, cx);
            answer.as_mut().poll(cx)
        });
        answered.await.map_err(|mut error| match error.take_message() {
            Some(request) => Unsent::Back(Box::new(request)),
            None => Unsent::Lost(error.into_error()),
        })
    }

    /// The next piece of the answer's body.
    pub(super) fn poll_chunk(
        &mut self,
        body: &mut Incoming,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, hyper::Error>>> {
        drive(&mut self.driver, &mut self.is_over, cx);
        loop {
            match Pin::new(&mut *body).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => return Poll::Ready(Some(Ok(data))),
                    Err(_trailers) => {}
                },
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(error))),
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// Whether another request can go over it, as far as one can see from here.
    pub(super) fn rests(&mut self) -> bool {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        self.rests_since = Instant::now();
        matches!(self.poll_ready(&mut cx), Poll::Ready(Ok(())))
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ()>> {
        drive(&mut self.driver, &mut self.is_over, cx);
        if self.is_over {
            return Poll::Ready(Err(()));
        }
        self.sender.poll_ready(cx).map_err(|_| ())
    }
}

/// What the driver says of its end comes to the request as well.
fn drive(driver: &mut Pin<Box<Driver>>, is_over: &mut bool, cx: &mut Context<'_>) {
    if !*is_over {
        *is_over = driver.as_mut().poll(cx).is_ready();
    }
}
