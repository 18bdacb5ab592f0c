//! Judging documents here, without any site: the reader, and evaluator processes for expressions that
//! only they can look at.

use std::fmt;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use base::limits::DOCUMENT_BYTES_MAX;
use sandbox::{Pool, PoolConfig, PoolError};
use spec::{Diagnostic, Unparsed};

use crate::document::{self, Head};
use crate::failure::{Failure, Outcome};
use crate::runtime;
use crate::trial::file::is_test_file;

/// A file's bytes, before anybody knows whether they are text.
pub struct Source {
    /// The file, or `stdin`.
    pub name: String,
    pub bytes: Vec<u8>,
}

/// A file that is no workflow.
pub struct Skipped {
    file: PathBuf,
    is_test: bool,
}

impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let why = if self.is_test {
            "it is a test file, which `isonomy test` checks and runs"
        } else {
            "it has no `document`, so it is no workflow"
        };
        write!(f, "skipped `{}`: {why}", self.file.display())
    }
}

/// Everything in the files, and in the folders and below, and what is left out.
///
/// A file that is named is judged whatever it is, except for a test file: `*.yaml` names those too.
pub fn sources(paths: &[PathBuf]) -> Outcome<(Vec<Source>, Vec<Skipped>)> {
    let (mut sources, mut skipped) = (Vec::new(), Vec::new());
    let mut add = |file: &Path, is_named: bool| -> Outcome<()> {
        let source = source(file)?;
        let is_test = is_test_file(file);
        match std::str::from_utf8(&source.bytes).map(document::head) {
            Ok(Head::Foreign | Head::Placement) if is_test || !is_named => {
                skipped.push(Skipped { file: file.to_owned(), is_test });
            }
            // One of ours with a typo in its kind is among them: nobody means it to be left out.
            Ok(_) | Err(_) => sources.push(source),
        }
        Ok(())
    };
    for path in paths {
        if !path.is_dir() {
            add(path, true)?;
            continue;
        }
        for file in document::paths_below(path)? {
            add(&file, false)?;
        }
    }
    Ok((sources, skipped))
}

/// A file, or `-` for stdin. One byte more than a document may have is enough to refuse it.
pub fn source(path: &Path) -> Outcome<Source> {
    let is_stdin = path == Path::new("-");
    let name = if is_stdin { "stdin".to_owned() } else { path.display().to_string() };
    let wrong = |cause| Failure::usage(format!("cannot read the document `{name}`: {cause}"));
    let limit = DOCUMENT_BYTES_MAX as u64 + 1;
    let mut bytes = Vec::new();
    let read = if is_stdin {
        std::io::stdin().lock().take(limit).read_to_end(&mut bytes)
    } else {
        fs::File::open(path).map_err(wrong)?.take(limit).read_to_end(&mut bytes)
    };
    read.map_err(wrong)?;
    Ok(Source { name, bytes })
}

/// What evaluators say of the expressions that nobody has parsed yet. Starts processes only where
/// there are such.
pub fn look_outside(unparsed: &[Unparsed]) -> Outcome<Vec<Diagnostic>> {
    if unparsed.is_empty() {
        return Ok(Vec::new());
    }
    let program = std::env::current_exe().map_err(|cause| {
        Failure::internal(format!("cannot find this program's own file: {cause}"))
    })?;
    runtime::client(async {
        let pool = Pool::new(PoolConfig::new(program));
        let mut found = Vec::new();
        for unseen in unparsed {
            let expression = &unseen.expression;
            match pool.check(expression.text(), expression.variables()).await {
                Ok(()) => {}
                Err(PoolError::Syntax(wrong)) => found.push(unseen.diagnostic(&wrong)),
                Err(PoolError::Failed(what)) => {
                    let wrong = expr::SyntaxError { what, offset: 0 };
                    found.push(unseen.diagnostic(&wrong));
                }
                Err(error @ (PoolError::Overloaded | PoolError::Unavailable(_))) => {
                    return Err(Failure::internal(error.to_string()));
                }
            }
        }
        Ok(found)
    })
}
