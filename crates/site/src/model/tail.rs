//! The tail: entries of calls that may not be in the store yet, in two files that take turns.
//!
//! It is not synced. It outlives the end of the process, whatever ends it, and the store has what must
//! outlive the end of the machine. A file is begun anew when the store has all that is in the other one.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

const NAMES: [&str; 2] = ["calls-0.tail", "calls-1.tail"];

/// How large a file gets before the other one's turn.
const FILE_BYTES_TURN: u64 = 1024 * 1024;

/// How large a file may be when it is read: what comes while the store does not answer is in it.
const FILE_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// Before a line, for the longest number and a space.
pub(super) const ROOM: usize = 21;

#[derive(Debug)]
pub(super) struct Tail {
    files: [Half; 2],
    at: usize,
}

#[derive(Debug)]
struct Half {
    file: File,
    bytes: u64,
    /// Of the newest entry in it.
    last: u64,
}

/// Entries with their numbers, in order.
pub(super) type Left = Vec<(u64, Vec<u8>)>;

impl Tail {
    /// With what was left by the life before. The files stay as they are until [`Tail::clear`].
    pub(super) fn open(folder: &Path) -> io::Result<(Self, Left)> {
        let mut left = Left::new();
        let mut open = |name: &str| {
            let path: PathBuf = folder.join(name);
            let mut options = OpenOptions::new();
            let mut file =
                options.read(true).write(true).create(true).truncate(false).open(path)?;
            read(&mut file, &mut left)?;
            Ok::<_, io::Error>(Half { file, bytes: 0, last: 0 })
        };
        let files = [open(NAMES[0])?, open(NAMES[1])?];
        left.sort_by_key(|(number, _)| *number);
        left.dedup_by_key(|(number, _)| *number);
        Ok((Self { files, at: 0 }, left))
    }

    /// The store has everything.
    pub(super) fn clear(&mut self) -> io::Result<()> {
        for half in &mut self.files {
            half.empty()?;
        }
        Ok(())
    }

    /// Writes a line that ends with its end and has [`ROOM`] before it, where `durable` is what the store has.
    pub(super) fn push(&mut self, number: u64, line: &mut [u8], durable: u64) -> io::Result<()> {
        let other = 1 - self.at;
        if self.files[self.at].bytes > FILE_BYTES_TURN && self.files[other].last <= durable {
            self.files[other].empty()?;
            self.at = other;
        }
        let half = &mut self.files[self.at];
        let text = numbered(line, number);
        half.file.write_all(text)?;
        half.bytes += text.len() as u64;
        half.last = number;
        Ok(())
    }
}

/// Writes the number into the room before a line. Nothing is copied.
fn numbered(line: &mut [u8], number: u64) -> &[u8] {
    let (mut at, mut rest) = (ROOM - 1, number);
    line[at] = b' ';
    loop {
        at -= 1;
        line[at] = b"0123456789"[(rest % 10) as usize];
        rest /= 10;
        if rest == 0 {
            return &line[at..];
        }
    }
}

impl Half {
    fn empty(&mut self) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file.rewind()?;
        (self.bytes, self.last) = (0, 0);
        Ok(())
    }
}

/// Whole lines. One that was cut in half was of a process that died in it, and nothing has followed from it.
fn read(file: &mut File, left: &mut Left) -> io::Result<()> {
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX).read_to_end(&mut bytes)?;
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let Some(text) = line.strip_suffix(b"\n") else { continue };
        let Some(at) = text.iter().position(|byte| *byte == b' ') else { continue };
        let number = std::str::from_utf8(&text[..at]).ok().and_then(|text| text.parse().ok());
        if let Some(number) = number {
            left.push((number, line[at + 1..].to_vec()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(folder: &Path) -> Vec<u64> {
        let (_, left) = Tail::open(folder).expect("opened");
        left.into_iter().map(|(number, _)| number).collect()
    }

    fn line(text: &str) -> Vec<u8> {
        [&[b' '; ROOM], text.as_bytes()].concat()
    }

    /// Mutation: begin the other file anew though the store lacks some of it, or never.
    #[test]
    fn what_the_store_has_not_is_in_one_of_the_files() {
        let folder = tempfile::tempdir().expect("a folder");
        let (mut tail, left) = Tail::open(folder.path()).expect("opened");
        assert!(left.is_empty());
        let mut line = line(&"x".repeat(300 * 1024));
        line.push(b'\n');
        for number in 1..=40 {
            let durable = if number <= 20 { 0 } else { number - 2 };
            tail.push(number, &mut line, durable).expect("written");
            let kept = numbers(folder.path());
            assert!(((durable + 1)..=number).all(|it| kept.contains(&it)), "{number}: {kept:?}");
        }
        assert!(numbers(folder.path()).len() < 12, "what the store has goes");
        tail.clear().expect("cleared");
        assert!(numbers(folder.path()).is_empty());
    }

    /// Mutation: take a line without its end, or have too little room for a number.
    #[test]
    fn a_line_that_was_cut_is_no_entry() {
        let folder = tempfile::tempdir().expect("a folder");
        let (mut tail, _) = Tail::open(folder.path()).expect("opened");
        tail.push(7, &mut line("whole\n"), 0).expect("written");
        tail.push(u64::MAX, &mut line("whole\n"), 0).expect("written");
        tail.push(8, &mut line("cut"), 0).expect("written");
        let (_, left) = Tail::open(folder.path()).expect("opened");
        assert_eq!(left, [7, u64::MAX].map(|number| (number, b"whole\n".to_vec())));
    }
}
