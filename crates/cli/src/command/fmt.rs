//! `isonomy fmt`: documents in the canonical layout. What they mean never changes.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use crate::args::author::FmtArgs;
use crate::diff;
use crate::document::{self, Head};
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::judge::{self, Source};
use crate::output;

pub fn fmt(args: &FmtArgs) -> Outcome {
    let (sources, skipped) = judge::sources(&args.file)?;
    for skipped in &skipped {
        output::say(&skipped.to_string());
    }
    let mut places = Vec::new();
    let (mut refused, mut changed, all) = (0, 0, sources.len());
    for source in sources {
        match layout(&source) {
            Ok(written) => changed += usize::from(put(args, &source, &written)?),
            Err(wrong) => {
                refused += 1;
                places.extend(wrong);
            }
        }
    }
    if refused > 0 {
        let message = format!("{refused} of {all} documents keep their layout");
        return Err(Failure::usage(message).places(places));
    }
    let is_fine = !args.check || changed == 0;
    Ok(if is_fine { Exit::Ok } else { Exit::Usage })
}

/// The text in its layout, or why it has none.
fn layout(source: &Source) -> Result<String, Vec<String>> {
    let text = String::from_utf8_lossy(&source.bytes);
    if let Head::UnknownKind(kind) = document::head(&text) {
        return Err(vec![format!(
            "{}: {}\nhint: {}",
            source.name,
            document::unknown(&kind),
            document::kinds()
        )]);
    }
    let written = match spec::text(&source.bytes) {
        Ok(text) => spec::fmt::format(text),
        Err(wrong) => Err(vec![*wrong]),
    };
    written.map_err(|found| found.iter().map(|it| it.render(&source.name, &text)).collect())
}

/// Whether the layout is another one.
fn put(args: &FmtArgs, source: &Source, written: &str) -> Outcome<bool> {
    let is_same = written.as_bytes() == source.bytes;
    let is_stdin = source.name == "stdin" && args.file.iter().any(|file| file == Path::new("-"));
    if args.diff {
        if !is_same {
            let before = String::from_utf8_lossy(&source.bytes);
            let text = diff::unified(&source.name, &before, written);
            output::write(&output::harmless(&text))?;
        }
    } else if args.check {
        if !is_same {
            output::say(&format!("another layout: {}", source.name));
        }
    } else if is_stdin {
        output::write(written)?;
    } else if !is_same {
        replace(Path::new(&source.name), written)?;
        output::say(&format!("written: {}", source.name));
    }
    Ok(!is_same)
}

/// All of the file or nothing, so that a full disk costs nobody a document.
fn replace(file: &Path, text: &str) -> Outcome<()> {
    let wrong = |cause: std::io::Error| {
        Failure::usage(format!("cannot write `{}`: {cause}", file.display()))
    };
    let real = fs::canonicalize(file).map_err(wrong)?;
    let permissions = fs::metadata(&real).map_err(wrong)?.permissions();
    if permissions.readonly() {
        return Err(Failure::usage(format!("`{}` may not be written", file.display()))
            .hint("`--diff` shows what would change"));
    }
    let folder = real.parent().unwrap_or(Path::new("."));
    let mut beside =
        tempfile::Builder::new().prefix(".isonomy-").tempfile_in(folder).map_err(wrong)?;
    beside.write_all(text.as_bytes()).map_err(wrong)?;
    fs::set_permissions(beside.path(), permissions).map_err(wrong)?;
    beside.persist(&real).map_err(|error| wrong(error.error))?;
    Ok(())
}
