//! Where a site or a hub is: named, or found by the file that it leaves in its data folder.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use crate::failure::{Failure, Outcome};

/// Where a site listens unless told otherwise.
pub const PORT: u16 = 7474;

/// The data folder of a site unless told otherwise, below the working folder.
pub const DATA: &str = ".isonomy";

/// The same for a hub: where people ask.
pub const HUB_PORT: u16 = 7475;
pub const HUB_DATA: &str = ".isonomy-hub";

/// Where sites come to a hub unless told otherwise.
pub const SITES_PORT: u16 = 7473;

/// In the data folder, while somebody serves from it.
const FILE: &str = "address";

/// An address is short; a file that is not is not ours.
const FILE_BYTES_MAX: u64 = 200;

/// Who is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whom {
    Site,
    Hub,
}

/// Who named the address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// `--server`, the environment, or a site in this process.
    Named(String),
    /// The file, which is read again whenever the connection was lost: a site that was started anew
    /// may have another port.
    File(PathBuf, Whom),
    /// Nobody, so it is where one of them usually is.
    Usual(Whom),
}

impl Whom {
    const fn data(self) -> &'static str {
        match self {
            Self::Site => DATA,
            Self::Hub => HUB_DATA,
        }
    }

    fn usual(self) -> String {
        let port = match self {
            Self::Site => PORT,
            Self::Hub => HUB_PORT,
        };
        format!("http://127.0.0.1:{port}")
    }
}

impl Address {
    #[must_use]
    pub fn find(server: Option<String>, whom: Whom) -> Self {
        let file = Path::new(whom.data()).join(FILE);
        match server {
            Some(url) => Self::Named(url),
            None if file.is_file() => Self::File(file, whom),
            None => Self::Usual(whom),
        }
    }

    /// The site that serves from this folder, or the one that is named; `None` where there is none.
    #[must_use]
    pub fn of(server: Option<String>, data: &Path) -> Option<Self> {
        let file = data.join(FILE);
        server.map(Self::Named).or_else(|| file.is_file().then_some(Self::File(file, Whom::Site)))
    }

    pub fn url(&self) -> Outcome<String> {
        match self {
            Self::Named(url) => Ok(url.clone()),
            // Removed when the site stopped: then it is nowhere, which connecting will tell.
            Self::File(file, whom) if !file.exists() => Ok(whom.usual()),
            Self::File(file, _) => read(file),
            Self::Usual(whom) => Ok(whom.usual()),
        }
    }

    /// Why this address, for somebody who wonders.
    #[must_use]
    pub fn origin(&self) -> Option<String> {
        match self {
            Self::Named(_) | Self::Usual(_) => None,
            Self::File(file, _) => Some(format!(
                "the address stands in `{}`, which a process that was killed leaves behind",
                file.display()
            )),
        }
    }
}

fn read(file: &Path) -> Outcome<String> {
    let wrong = |why: String| {
        Failure::usage(format!("cannot read the address in `{}`: {why}", file.display()))
            .hint("name the server with `--server URL`, or remove the file")
    };
    let size = fs::metadata(file).map_err(|cause| wrong(cause.to_string()))?.len();
    if size > FILE_BYTES_MAX {
        return Err(wrong("it is too long".to_owned()));
    }
    let text = fs::read_to_string(file).map_err(|cause| wrong(cause.to_string()))?;
    Ok(text.trim().to_owned())
}

/// The address as other commands find it; gone when this is dropped.
#[derive(Debug)]
pub struct Announced {
    file: PathBuf,
}

impl Announced {
    /// Appears whole or not at all.
    pub fn write(data: &Path, url: &str) -> std::io::Result<Self> {
        let file = data.join(FILE);
        let mut draft = tempfile::NamedTempFile::new_in(data)?;
        writeln!(draft, "{url}")?;
        draft.persist(&file)?;
        Ok(Self { file })
    }
}

impl Drop for Announced {
    fn drop(&mut self) {
        // What stays is an address where nobody answers, and every command says so.
        let _ = fs::remove_file(&self.file);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mutation: keep the file when the site stops, or cache what it says.
    #[test]
    fn the_file_says_where_the_site_is_until_it_stops() {
        let data = tempfile::tempdir().expect("a temporary folder");
        let address = Address::File(data.path().join(FILE), Whom::Hub);
        let first = Announced::write(data.path(), "http://127.0.0.1:1").expect("written");
        assert_eq!(address.url(), Ok("http://127.0.0.1:1".to_owned()));
        let second = Announced::write(data.path(), "http://127.0.0.1:2").expect("written");
        assert_eq!(address.url(), Ok("http://127.0.0.1:2".to_owned()));
        drop((first, second));
        assert_eq!(address.url(), Ok(Whom::Hub.usual()));
        assert_eq!(
            fs::read_dir(data.path()).expect("a folder").count(),
            0,
            "nothing is left behind"
        );
    }

    /// Mutation: read whatever is there.
    #[test]
    fn a_foreign_file_is_refused() {
        let data = tempfile::tempdir().expect("a temporary folder");
        let file = data.path().join(FILE);
        fs::write(&file, "x".repeat(1000)).expect("written");
        assert!(Address::File(file, Whom::Site).url().is_err());
    }
}
