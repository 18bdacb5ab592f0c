//! Values of secrets in what a process writes: in its log `***` stands for each.
//!
//! A process writes in pieces, and a value may be cut anywhere: an end that may be the beginning of
//! one waits for what comes behind it.

use std::borrow::Cow;

use super::logs::Stream;
use crate::mask::MASK;

pub(super) struct Redaction {
    /// The longest first, so that nothing is left of one that holds another.
    secrets: Vec<Vec<u8>>,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

/// What stands at one place.
enum Found {
    Nothing,
    /// So many bytes.
    Secret(usize),
    /// The piece ends before it is known.
    Perhaps,
}

impl Redaction {
    pub(super) fn new(secrets: &[String]) -> Self {
        let mut secrets: Vec<Vec<u8>> = secrets.iter().map(|it| it.as_bytes().to_vec()).collect();
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        Self { secrets, stdout: Vec::new(), stderr: Vec::new() }
    }

    /// What can be shown now of what was written.
    pub(super) fn take<'a>(&mut self, stream: Stream, bytes: &'a [u8]) -> Cow<'a, [u8]> {
        if self.secrets.is_empty() {
            return Cow::Borrowed(bytes);
        }
        let mut all = std::mem::take(self.held(stream));
        all.extend_from_slice(bytes);
        let (shown, held) = self.redacted(&all, false);
        *self.held(stream) = all.split_off(held);
        Cow::Owned(shown)
    }

    /// What was waiting, when nothing comes behind it.
    pub(super) fn rest(&mut self, stream: Stream) -> Vec<u8> {
        let held = std::mem::take(self.held(stream));
        self.redacted(&held, true).0
    }

    fn held(&mut self, stream: Stream) -> &mut Vec<u8> {
        match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        }
    }

    /// What can be shown, and where what must wait begins.
    fn redacted(&self, bytes: &[u8], is_last: bool) -> (Vec<u8>, usize) {
        let mut shown = Vec::with_capacity(bytes.len());
        let mut at = 0;
        while let Some(byte) = bytes.get(at) {
            match self.found(&bytes[at..], is_last) {
                Found::Nothing => {
                    shown.push(*byte);
                    at += 1;
                }
                Found::Secret(length) => {
                    shown.extend_from_slice(MASK.as_bytes());
                    at += length;
                }
                Found::Perhaps => return (shown, at),
            }
        }
        (shown, at)
    }

    fn found(&self, rest: &[u8], is_last: bool) -> Found {
        for secret in &self.secrets {
            if rest.starts_with(secret) {
                return Found::Secret(secret.len());
            }
            if !is_last && secret.starts_with(rest) {
                return Found::Perhaps;
            }
        }
        Found::Nothing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(secrets: &[&str], pieces: &[&str]) -> String {
        let secrets: Vec<String> = secrets.iter().map(|&it| it.to_owned()).collect();
        let mut redaction = Redaction::new(&secrets);
        let mut shown = Vec::new();
        for piece in pieces {
            shown.extend_from_slice(&redaction.take(Stream::Stdout, piece.as_bytes()));
        }
        shown.extend(redaction.rest(Stream::Stdout));
        assert!(redaction.rest(Stream::Stdout).is_empty() && redaction.stderr.is_empty());
        String::from_utf8(shown).expect("text")
    }

    /// Mutation: look at each piece alone, forget what waits at the end, or try the shorter first.
    #[test]
    fn a_secret_is_redacted_wherever_a_piece_ends() {
        let text = "a s3cret, s3cret-too and s3cre";
        for cut in 0..text.len() {
            let (one, two) = text.split_at(cut);
            let shown = shown(&["s3cret", "s3cret-too"], &[one, two]);
            assert_eq!(shown, "a ***, *** and s3cre", "{one}|{two}");
        }
        let single: Vec<&str> = text.split_inclusive(|_| true).collect();
        assert_eq!(shown(&["s3cret", "s3cret-too"], &single), "a ***, *** and s3cre");
        assert_eq!(shown(&["s3cret", "s3cret-too"], &["s3cret-to"]), "***-to");
        assert_eq!(shown(&["line\nline"], &["line\n", "line\nline"]), "***\nline");
    }

    /// Mutation: hold text back where nothing is a secret.
    #[test]
    fn what_is_no_beginning_of_a_secret_does_not_wait() {
        let mut redaction = Redaction::new(&["s3cret".to_owned()]);
        assert_eq!(&*redaction.take(Stream::Stdout, b"ready?\n"), b"ready?\n");
        assert_eq!(&*redaction.take(Stream::Stderr, b"so s3"), b"so ");
        assert_eq!(&*redaction.take(Stream::Stdout, b"cret"), b"cret");
        assert_eq!(&*redaction.take(Stream::Stderr, b"cret"), b"***");
        assert_eq!(&*Redaction::new(&[]).take(Stream::Stdout, b"s3"), b"s3");
    }
}
