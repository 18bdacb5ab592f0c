//! Running a program so that what it does to its files is written down.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::log::{self, Entry};

const SOURCE: &str = include_str!("record.c");

/// One log for one folder, over as many processes as work on it one after another.
#[derive(Debug)]
pub struct Recorder {
    library: PathBuf,
    log: PathBuf,
    folder: PathBuf,
}

impl Recorder {
    /// For what happens below `folder`, which must be empty. `beside` takes the recorder's own files.
    ///
    /// Needs the C compiler that SQLite is built with.
    pub fn new(folder: &Path, beside: &Path) -> io::Result<Self> {
        let source = beside.join("record.c");
        let library = beside.join("record.so");
        std::fs::write(&source, SOURCE)?;
        let mut compiler = Command::new(std::env::var_os("CC").unwrap_or_else(|| "cc".into()));
        compiler.args(["-O1", "-shared", "-fPIC", "-o"]).arg(&library).arg(&source);
        let done = compiler.args(["-ldl", "-lpthread"]).output()?;
        if !done.status.success() {
            return Err(io::Error::other(String::from_utf8_lossy(&done.stderr).into_owned()));
        }
        let folder = folder.canonicalize()?;
        Ok(Self { library, log: beside.join("record.log"), folder })
    }

    /// Has the command recorded. Its path to the folder must be absolute and without links.
    pub fn record<'c>(&self, command: &'c mut Command) -> &'c mut Command {
        command
            .env("LD_PRELOAD", &self.library)
            .env("ISONOMY_POWER_LOG", &self.log)
            .env("ISONOMY_POWER_FOLDER", &self.folder)
    }

    /// Writes down that somebody outside was told this, after all that is in the log by now.
    pub fn heard(&self, text: &str) -> io::Result<()> {
        let mut log = OpenOptions::new().append(true).open(&self.log)?;
        log.write_all(&log::said(text))
    }

    /// Does this at a moment when all that was done to a file is written down: ends the program.
    pub fn between<T>(&self, act: impl FnOnce() -> T) -> io::Result<T> {
        let log = OpenOptions::new().append(true).open(&self.log)?;
        log.lock()?;
        Ok(act())
    }

    /// What has happened so far.
    pub fn entries(&self) -> io::Result<Vec<Entry>> {
        let bytes = std::fs::read(&self.log)?.into();
        log::parse(&bytes)
            .map_err(|error| io::Error::other(format!("the log has no entry at {}", error.offset)))
    }
}
