//! The log of a process: its beginning and its end, kept while it runs.
//!
//! A process may write without end, and a log may not. So the first part is kept whole and of the
//! rest only the newest; what lies between is counted, not kept. Where it is kept is the site's
//! business.

use std::collections::VecDeque;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use base::RunId;
use bytes::Bytes;
use engine::activation::Activation;
use engine::effect::{EffectNo, Perform};
use futures::future::{BoxFuture, FutureExt, ready};

use super::redact::Redaction;

/// The first part of a log, which is kept whole.
pub(super) const HEAD_BYTES_MAX: u64 = 256 * 1024;

/// The newest part, which is kept at least.
pub(super) const TAIL_BYTES_MAX: u64 = 256 * 1024;

/// One piece. The end of a log is forgotten by pieces, so they are much smaller than it.
const PIECE_BYTES_MAX: usize = 32 * 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    Stdout,
    Stderr,
}

/// Whose log it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogOf {
    pub run: RunId,
    pub effect: EffectNo,
    pub activation: Activation,
}

/// What was written to one stream, one after the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogPiece {
    pub stream: Stream,
    /// How many bytes were written before, to both streams.
    pub start: u64,
    pub bytes: Bytes,
}

/// Whoever keeps logs.
pub trait Logs: fmt::Debug + Send + Sync + 'static {
    /// Keeps the pieces, and forgets those kept before that start in `forget`. Ready when both are
    /// durable, or could not be done.
    fn keep(
        &self,
        of: Arc<LogOf>,
        pieces: Vec<LogPiece>,
        forget: Range<u64>,
    ) -> BoxFuture<'static, ()>;
}

/// Keeps nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoLogs;

impl Logs for NoLogs {
    fn keep(&self, _: Arc<LogOf>, _: Vec<LogPiece>, _: Range<u64>) -> BoxFuture<'static, ()> {
        ready(()).boxed()
    }
}

/// Gathers what one process writes, and hands on what is worth keeping. Secrets that the process was
/// given stand in none of it.
pub(super) struct Recorder {
    redaction: Redaction,
    logs: Arc<dyn Logs>,
    of: Arc<LogOf>,
    /// All that was written so far.
    written: u64,
    waiting: VecDeque<LogPiece>,
    /// Of what was kept behind the head, where each piece starts.
    kept: VecDeque<u64>,
}

impl Recorder {
    pub(super) fn new(logs: Arc<dyn Logs>, effect: &Perform, secrets: &[String]) -> Self {
        let of =
            LogOf { run: effect.run, effect: effect.effect, activation: effect.activation.clone() };
        Self {
            redaction: Redaction::new(secrets),
            logs,
            of: Arc::new(of),
            written: 0,
            waiting: VecDeque::new(),
            kept: VecDeque::new(),
        }
    }

    pub(super) fn take(&mut self, stream: Stream, bytes: &[u8]) {
        let bytes = self.redaction.take(stream, bytes);
        self.take_redacted(stream, &bytes);
    }

    fn take_redacted(&mut self, stream: Stream, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let mut length = rest.len().min(PIECE_BYTES_MAX);
            if length < rest.len() {
                length -= begun(&rest[..length]);
            }
            let (piece, behind) = rest.split_at(length);
            self.take_piece(stream, piece);
            rest = behind;
        }
        // Of what nobody has asked to keep yet, only what would survive anyway.
        let oldest = self.written.saturating_sub(TAIL_BYTES_MAX).max(HEAD_BYTES_MAX);
        let first = self.waiting.partition_point(|piece| piece.start < HEAD_BYTES_MAX);
        while self.waiting.get(first).is_some_and(|piece| end(piece) <= oldest) {
            self.waiting.remove(first);
        }
    }

    fn take_piece(&mut self, stream: Stream, bytes: &[u8]) {
        let start = self.written;
        self.written += bytes.len() as u64;
        // Single lines would make a row each.
        if let Some(last) = self.waiting.back_mut()
            && last.stream == stream
            && (last.bytes.len() + bytes.len() <= PIECE_BYTES_MAX || begun(&last.bytes) > 0)
        {
            last.bytes = [&last.bytes, bytes].concat().into();
            return;
        }
        let bytes = Bytes::copy_from_slice(bytes);
        self.waiting.push_back(LogPiece { stream, start, bytes });
    }

    /// Whether more was written than is kept.
    pub(super) fn is_flooded(&self) -> bool {
        self.written > HEAD_BYTES_MAX + TAIL_BYTES_MAX
    }

    pub(super) async fn keep(&mut self) {
        if let Some(kept) = self.begin_to_keep(false) {
            kept.await;
        }
    }

    pub(super) async fn finish(&mut self) {
        if let Some(kept) = self.begin_to_keep(true) {
            kept.await;
        }
    }

    fn begin_to_keep(&mut self, is_last: bool) -> Option<BoxFuture<'static, ()>> {
        if is_last {
            for stream in [Stream::Stdout, Stream::Stderr] {
                let rest = self.redaction.rest(stream);
                self.take_redacted(stream, &rest);
            }
        }
        let mut pieces: Vec<LogPiece> = std::mem::take(&mut self.waiting).into();
        // A character whose end has not come yet waits for it.
        if let Some(piece) = pieces.last_mut().filter(|_| !is_last) {
            let rest = piece.bytes.split_off(piece.bytes.len() - begun(&piece.bytes));
            if !rest.is_empty() {
                let start = end(piece);
                self.waiting.push_back(LogPiece { stream: piece.stream, start, bytes: rest });
            }
        }
        pieces.retain(|piece| !piece.bytes.is_empty());
        if pieces.is_empty() {
            return None;
        }
        let behind =
            pieces.iter().map(|piece| piece.start).filter(|start| *start >= HEAD_BYTES_MAX);
        self.kept.extend(behind);
        let oldest = self.written.saturating_sub(TAIL_BYTES_MAX);
        // A piece can go when the one after it reaches back far enough.
        let mut until = 0;
        while self.kept.get(1).is_some_and(|next| *next <= oldest) {
            self.kept.pop_front();
            until = self.kept[0];
        }
        let forget = if until == 0 { 0..0 } else { HEAD_BYTES_MAX..until };
        Some(self.logs.keep(Arc::clone(&self.of), pieces, forget))
    }
}

/// A process that is broken off has written something, and that is when it is wanted most.
impl Drop for Recorder {
    fn drop(&mut self) {
        if let (Some(kept), Ok(runtime)) =
            (self.begin_to_keep(true), tokio::runtime::Handle::try_current())
        {
            runtime.spawn(kept);
        }
    }
}

/// How many bytes at the end are the beginning of one character.
fn begun(bytes: &[u8]) -> usize {
    match bytes.utf8_chunks().last() {
        // Only an end that could still become a character is shorter than one.
        Some(chunk) => match std::str::from_utf8(chunk.invalid()) {
            Err(wrong) if wrong.error_len().is_none() => chunk.invalid().len(),
            _ => 0,
        },
        None => 0,
    }
}

fn end(piece: &LogPiece) -> u64 {
    piece.start + piece.bytes.len() as u64
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Mutex;

    use super::*;

    #[derive(Debug, Default)]
    struct Kept(Mutex<BTreeMap<u64, Bytes>>);

    impl Logs for Kept {
        fn keep(
            &self,
            _: Arc<LogOf>,
            pieces: Vec<LogPiece>,
            forget: Range<u64>,
        ) -> BoxFuture<'static, ()> {
            let mut all = self.0.lock().expect("no test panics while it keeps");
            all.extend(pieces.into_iter().map(|piece| (piece.start, piece.bytes)));
            all.retain(|start, _| !forget.contains(start));
            ready(()).boxed()
        }
    }

    fn recorder(kept: &Arc<Kept>) -> Recorder {
        let of = LogOf {
            run: "run_01a1fb7b-d522-7414-8c47-aa7df2bebacf".parse().expect("an id"),
            effect: EffectNo(1),
            activation: Activation::root(),
        };
        Recorder {
            redaction: Redaction::new(&[]),
            logs: Arc::clone(kept) as Arc<dyn Logs>,
            of: Arc::new(of),
            written: 0,
            waiting: VecDeque::new(),
            kept: VecDeque::new(),
        }
    }

    /// What is read back: bytes, and gaps with their length.
    fn shown(kept: &Kept) -> (Vec<u8>, Vec<u64>) {
        let (mut bytes, mut gaps, mut at) = (Vec::new(), Vec::new(), 0);
        for (start, piece) in kept.0.lock().expect("as above").iter() {
            if *start > at {
                gaps.push(start - at);
            }
            at = start + piece.len() as u64;
            bytes.extend_from_slice(piece);
        }
        (bytes, gaps)
    }

    /// Mutation: forget the beginning, keep the middle, or lose the end.
    #[tokio::test]
    async fn of_a_long_log_the_beginning_and_the_end_are_kept() {
        for every in [1, 7, 1_000_000] {
            let kept = Arc::new(Kept::default());
            let mut recorder = recorder(&kept);
            let lines: Vec<String> = (0..100_000).map(|line| format!("line {line:>9}\n")).collect();
            for (number, line) in lines.iter().enumerate() {
                recorder.take(Stream::Stdout, line.as_bytes());
                if number % (every * 100) == 0 {
                    recorder.keep().await;
                }
            }
            recorder.finish().await;
            let (bytes, gaps) = shown(&kept);
            let whole = lines.concat();
            assert_eq!(gaps.len(), 1, "one gap, every {every}");
            assert_eq!(bytes.len() as u64 + gaps[0], whole.len() as u64);
            let head = usize::try_from(HEAD_BYTES_MAX).expect("small");
            let tail = usize::try_from(TAIL_BYTES_MAX).expect("small");
            assert!(bytes.starts_with(&whole.as_bytes()[..head]));
            assert!(bytes.ends_with(&whole.as_bytes()[whole.len() - tail..]));
            assert!(bytes.len() < head + 2 * tail, "{} bytes", bytes.len());
        }
    }

    /// Mutation: cut pieces where the bytes end.
    #[tokio::test]
    async fn no_piece_ends_within_a_character() {
        let kept = Arc::new(Kept::default());
        let mut recorder = recorder(&kept);
        let text = "aä€😀".repeat(20_000);
        for part in text.as_bytes().chunks(50_001) {
            recorder.take(Stream::Stdout, part);
            recorder.keep().await;
        }
        recorder.finish().await;
        for piece in kept.0.lock().expect("as above").values() {
            assert!(std::str::from_utf8(piece).is_ok(), "{} bytes", piece.len());
        }
    }

    /// Mutation: cap a log that fits.
    #[tokio::test]
    async fn a_short_log_is_kept_whole() {
        let kept = Arc::new(Kept::default());
        let mut recorder = recorder(&kept);
        recorder.take(Stream::Stdout, b"out\n");
        recorder.take(Stream::Stderr, b"err\n");
        recorder.take(Stream::Stderr, b"more\n");
        recorder.finish().await;
        assert_eq!(shown(&kept), (b"out\nerr\nmore\n".to_vec(), vec![]));
        assert!(!recorder.is_flooded());
    }
}
