//! Files that somebody has named: whatever they are, no more is read of them than may be.

use std::fs::File;
use std::io::{Read, stdin};
use std::path::Path;

use crate::failure::{Failure, Outcome};

/// All of a file, or of stdin where it is named `-`.
pub fn read(file: &Path, bytes_max: u64) -> Outcome<Vec<u8>> {
    let shown = shown(file);
    if file == Path::new("-") {
        return limited(&shown, stdin().lock(), bytes_max);
    }
    let opened = File::open(file).map_err(|cause| unread(&shown, &cause))?;
    limited(&shown, opened, bytes_max)
}

/// The same of what is a text.
pub fn text(file: &Path, bytes_max: u64) -> Outcome<String> {
    String::from_utf8(read(file, bytes_max)?).map_err(|wrong| {
        let at = wrong.utf8_error().valid_up_to();
        Failure::usage(format!("{} is not UTF-8 text, at byte {at}", shown(file)))
    })
}

/// As messages name it.
pub fn shown(file: &Path) -> String {
    if file == Path::new("-") { "stdin".to_owned() } else { format!("`{}`", file.display()) }
}

fn limited(shown: &str, from: impl Read, bytes_max: u64) -> Outcome<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(bytes_max + 1).read_to_end(&mut bytes).map_err(|cause| unread(shown, &cause))?;
    if bytes.len() as u64 > bytes_max {
        return Err(Failure::usage(format!("{shown} has more than {bytes_max} bytes")));
    }
    Ok(bytes)
}

fn unread(shown: &str, cause: &std::io::Error) -> Failure {
    Failure::usage(format!("cannot read {shown}: {cause}"))
}
