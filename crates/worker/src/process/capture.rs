//! Taking in what a process writes: all of what the task returns, and the rest for its log.

use std::time::Duration;

use spec::tree::Returns;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::{Instant, sleep, sleep_until};

use super::logs::{Recorder, Stream};

/// What is read at once: as much as a pipe holds.
const READ_BYTES: usize = 64 * 1024;

/// How soon what was written is kept. Followers see it then, and a crash loses no more than this.
const KEEP_AFTER: Duration = Duration::from_millis(250);

/// A pause after each read once only the end is kept: a process that floods its output is slowed to
/// some sixty megabytes a second, and the site has its processor for others.
const FLOOD_PAUSE: Duration = Duration::from_millis(1);

/// How reading came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Captured {
    Whole,
    TooMuch,
}

/// What the task may return.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Wrote {
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
}

pub(super) struct Capture {
    returns: Returns,
    limit: usize,
    wrote: Wrote,
    recorder: Recorder,
}

impl Capture {
    pub(super) fn new(returns: Returns, limit: usize, recorder: Recorder) -> Self {
        Self { returns, limit, wrote: Wrote::default(), recorder }
    }

    /// Reads until both streams have ended, or more has come than the task may return.
    pub(super) async fn read(
        &mut self,
        stdout: &mut (impl AsyncRead + Unpin),
        stderr: &mut (impl AsyncRead + Unpin),
    ) -> Captured {
        let (mut out, mut err) = (vec![0; READ_BYTES], vec![0; READ_BYTES]);
        let (mut out_open, mut err_open) = (true, true);
        let mut keep_at: Option<Instant> = None;
        while out_open || err_open {
            let (stream, read) = tokio::select! {
                read = stdout.read(&mut out), if out_open => (Stream::Stdout, read),
                read = stderr.read(&mut err), if err_open => (Stream::Stderr, read),
                () = sleep_until(keep_at.unwrap_or_else(Instant::now)), if keep_at.is_some() => {
                    keep_at = None;
                    self.recorder.keep().await;
                    continue;
                }
            };
            // A pipe that cannot be read has ended.
            let count = read.unwrap_or(0);
            let bytes = match stream {
                Stream::Stdout => &out[..count],
                Stream::Stderr => &err[..count],
            };
            if count == 0 {
                match stream {
                    Stream::Stdout => out_open = false,
                    Stream::Stderr => err_open = false,
                }
                continue;
            }
            if !self.take(stream, bytes) {
                return Captured::TooMuch;
            }
            keep_at.get_or_insert_with(|| Instant::now() + KEEP_AFTER);
            if self.recorder.is_flooded() {
                sleep(FLOOD_PAUSE).await;
            }
        }
        Captured::Whole
    }

    /// Whether there was room for it.
    fn take(&mut self, stream: Stream, bytes: &[u8]) -> bool {
        self.recorder.take(stream, bytes);
        let returned = matches!(
            (stream, self.returns),
            (Stream::Stdout, Returns::Stdout | Returns::All)
                | (Stream::Stderr, Returns::Stderr | Returns::All)
        );
        if !returned {
            return true;
        }
        let kept = match stream {
            Stream::Stdout => &mut self.wrote.stdout,
            Stream::Stderr => &mut self.wrote.stderr,
        };
        kept.extend_from_slice(bytes);
        kept.len() <= self.limit
    }

    /// A line of the site's own, behind what was written.
    pub(super) fn say(&mut self, line: &str) {
        self.recorder.take(Stream::Stderr, format!("isonomy: {line}\n").as_bytes());
    }

    pub(super) async fn finish(mut self) -> Wrote {
        self.recorder.finish().await;
        self.wrote
    }
}
