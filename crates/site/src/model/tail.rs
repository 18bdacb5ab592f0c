//! The tail: entries of calls that may not be in the store yet, in two files that take turns.
//!
//! It is not synced. It outlives the end of the process, whatever ends it, and the store has what must
//! outlive the end of the machine. A file is begun anew when the store has all that is in the other one.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
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
            let mut file = options
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                .open(path)?;
            read(&mut file, &mut left)?;
            Ok::<_, io::Error>(Half { file, bytes: 0, last: 0 })
        };
        let files = [open(NAMES[0])?, open(NAMES[1])?];
        left.sort_by_key(|(number, _)| *number);
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
        if let Err(error) = half.file.write_all(text) {
            half.cut()?;
            return Err(error);
        }
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
    /// Takes back what there is of a line that could not be written whole: a full disk takes some of it.
    fn cut(&mut self) -> io::Result<()> {
        self.file.set_len(self.bytes)?;
        self.file.seek(SeekFrom::Start(self.bytes)).map(|_| ())
    }

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

    /// The folder of the test below, in the process that it starts.
    const FOLDER: &str = "ISONOMY_TEST_TAIL";

    /// Writes lines until the system takes no more, and says how many.
    #[test]
    fn child_writes_until_no_more_is_taken() {
        let Some(folder) = std::env::var_os(FOLDER) else { return };
        let (mut tail, _) = Tail::open(Path::new(&folder)).expect("opened");
        let mut line = line(&format!("{}\n", "x".repeat(700)));
        let taken = (1..).take_while(|number| tail.push(*number, &mut line, 0).is_ok()).count();
        println!("taken={taken};");
    }

    /// Mutation: leave the half of a line that a full disk has taken.
    #[test]
    fn half_a_line_is_taken_back() {
        let folder = tempfile::tempdir().expect("a folder");
        // Files of this process may have 8 blocks: as on a full disk, the last write is cut.
        let limited = std::process::Command::new("sh")
            .args(["-c", "trap '' XFSZ; ulimit -f 8; exec \"$0\" \"$@\""])
            .arg(std::env::current_exe().expect("a program"))
            .args(["--exact", "--nocapture"])
            .arg("model::tail::tests::child_writes_until_no_more_is_taken")
            .env(FOLDER, folder.path())
            .output()
            .expect("started");
        let said = String::from_utf8_lossy(&limited.stdout).into_owned();
        let taken = said.split_once("taken=").and_then(|(_, rest)| rest.split_once(';'));
        let taken: u64 = taken.expect("it says so").0.parse().expect("a number");
        let kept = std::fs::read(folder.path().join(NAMES[0])).expect("it is there");
        assert!(taken > 2 && kept.ends_with(b"x\n"), "{taken} {said}");
        assert_eq!(numbers(folder.path()), (1..=taken).collect::<Vec<_>>());
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
