//! A stream that is no faster than its owner allows, each way by itself.

use std::future::Future as _;
use std::io;
use std::num::NonZeroU32;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

/// What was not used in so long may be used at once; no longer, so that a line at rest does not save up.
const SAVED: Duration = Duration::from_millis(250);

/// How many bytes a second; as many as the line takes, where nothing is said.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pace(Option<NonZeroU32>);

impl Pace {
    #[must_use]
    pub const fn bytes_per_second(most: NonZeroU32) -> Self {
        Self(Some(most))
    }
}

/// A stream under a pace.
#[derive(Debug)]
pub struct Paced<S> {
    stream: S,
    read: Option<Allowance>,
    write: Option<Allowance>,
}

/// How much may go now.
#[derive(Debug)]
struct Allowance {
    each: Duration,
    /// Everything before this is used up.
    used_until: Instant,
    rest: Pin<Box<Sleep>>,
}

impl Allowance {
    fn new(most: NonZeroU32) -> Self {
        let now = Instant::now();
        let each = Duration::from_secs(1) / most.get();
        Self { each, used_until: now, rest: Box::pin(sleep_until(now)) }
    }

    /// When something may go, how much.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<usize> {
        loop {
            let now = Instant::now();
            let saved = now.checked_sub(SAVED).unwrap_or(now);
            self.used_until = self.used_until.max(saved);
            // As much as is saved at most goes in advance: one piece at least, however slow the line is.
            if self.used_until <= now {
                let free = (now - self.used_until + SAVED).as_nanos() / self.each.as_nanos().max(1);
                return Poll::Ready(usize::try_from(free).unwrap_or(usize::MAX).max(1));
            }
            self.rest.as_mut().reset(self.used_until);
            ready!(self.rest.as_mut().poll(context));
        }
    }

    fn used(&mut self, bytes: usize) {
        self.used_until += self.each * u32::try_from(bytes).unwrap_or(u32::MAX);
    }
}

impl<S> Paced<S> {
    pub fn new(stream: S, Pace(most): Pace) -> Self {
        Self { stream, read: most.map(Allowance::new), write: most.map(Allowance::new) }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Paced<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let it = self.get_mut();
        let Some(allowance) = &mut it.read else {
            return Pin::new(&mut it.stream).poll_read(context, buffer);
        };
        // What is not read yet, the other side does not send for long.
        let most = ready!(allowance.poll(context)).min(buffer.remaining());
        let mut some = ReadBuf::new(buffer.initialize_unfilled_to(most));
        ready!(Pin::new(&mut it.stream).poll_read(context, &mut some))?;
        let bytes = some.filled().len();
        buffer.advance(bytes);
        allowance.used(bytes);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Paced<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let it = self.get_mut();
        let Some(allowance) = &mut it.write else {
            return Pin::new(&mut it.stream).poll_write(context, bytes);
        };
        let most = ready!(allowance.poll(context)).min(bytes.len());
        let written = ready!(Pin::new(&mut it.stream).poll_write(context, &bytes[..most]))?;
        allowance.used(written);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    const BYTES: usize = 40_000;

    fn pace(most: u32) -> Pace {
        NonZeroU32::new(most).map_or_else(Pace::default, Pace::bytes_per_second)
    }

    /// How long it takes to bring all to the other side.
    async fn took(writer: Pace, reader: Pace) -> Duration {
        let (one, other) = duplex(BYTES);
        let (mut one, mut other) = (Paced::new(one, writer), Paced::new(other, reader));
        let began = Instant::now();
        let sent: Vec<u8> = (0..=250).cycle().take(BYTES).collect();
        let write = async {
            one.write_all(&sent).await.expect("written");
            one.shutdown().await.expect("ended");
        };
        let read = async {
            let mut all = Vec::new();
            other.read_to_end(&mut all).await.expect("read");
            assert!(all == sent, "other bytes");
        };
        tokio::join!(write, read);
        began.elapsed()
    }

    /// Mutation: pace one way only, count nothing, or lose what is beyond the allowance.
    #[tokio::test(start_paused = true)]
    async fn a_stream_is_no_faster_than_its_pace_each_way() {
        let free = Pace::default();
        assert_eq!(took(free, free).await, Duration::ZERO);
        for most in [1_000, 10_000] {
            let least = u64::try_from(BYTES).expect("small") / u64::from(most);
            for took in [took(pace(most), free).await, took(free, pace(most)).await] {
                let bounds = least - 1..=least + 1;
                assert!(bounds.contains(&took.as_secs()), "{most}: {took:?}");
            }
        }
    }

    /// Mutation: let a line at rest save up for hours.
    #[tokio::test(start_paused = true)]
    async fn a_line_at_rest_saves_little() {
        let (one, mut other) = duplex(BYTES);
        let mut one = Paced::new(one, pace(1_000));
        tokio::time::advance(Duration::from_secs(3_600)).await;
        let began = Instant::now();
        one.write_all(&[7; 10_000]).await.expect("written");
        assert!(began.elapsed() > Duration::from_secs(8), "{:?}", began.elapsed());
        let mut all = vec![0; 10_000];
        other.read_exact(&mut all).await.expect("read");
    }
}
