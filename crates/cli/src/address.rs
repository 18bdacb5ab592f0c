//! Where a site or a hub is, and by which key it is asked: named, in a context, or found in the data
//! folder of whoever serves here.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use gateway::operator::Credentials;
use identity::{Pin, site_config};
use wire::ApiKey;

use crate::context::{Context, Contexts};
use crate::exit::Exit;
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

/// Beside it: the key of whoever may read the folder, for as long.
const KEY_FILE: &str = "key";

/// An address or a key is short; a file that is not is not ours.
const FILE_BYTES_MAX: u64 = 200;

const SERVER_VARIABLE: &str = "ISONOMY_SERVER";
const CONTEXT_VARIABLE: &str = "ISONOMY_CONTEXT";
const KEY_VARIABLE: &str = "ISONOMY_KEY";

/// Who is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whom {
    Site,
    Hub,
}

/// What somebody has said about whom to ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Chosen {
    /// A URL, or a data folder.
    Server(String),
    Context(Context),
    /// Nothing, so it is whoever is here.
    Nothing,
}

/// Who named the address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    Named(Place),
    /// A data folder, whose files are read again whenever the connection was lost: a site that was
    /// started anew may have another port, and has another key.
    Folder(PathBuf, Whom),
    /// Nobody, so it is where one of them usually is.
    Usual(Whom),
}

/// Whom to ask and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub url: String,
    pub key: Option<ApiKey>,
    /// The root of the fleet whose hub it is.
    pub root: Option<Pin>,
}

impl Whom {
    const fn data(self) -> &'static str {
        match self {
            Self::Site => DATA,
            Self::Hub => HUB_DATA,
        }
    }

    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Site => "site",
            Self::Hub => "hub",
        }
    }

    fn usual(self) -> Place {
        let port = match self {
            Self::Site => PORT,
            Self::Hub => HUB_PORT,
        };
        Place { url: format!("http://127.0.0.1:{port}"), key: None, root: None }
    }
}

impl Chosen {
    /// What was typed wins over the environment, and that over the context in use.
    pub fn find(
        server: Option<String>,
        context: Option<&str>,
        contexts: Option<&Contexts>,
    ) -> Outcome<Self> {
        let variable = |name: &str| std::env::var(name).ok().filter(|text| !text.is_empty());
        let named = |name: &str| {
            let none = || Failure::usage("there is no home folder, and so there are no contexts");
            contexts.ok_or_else(none)?.get(name).map(Self::Context)
        };
        if let Some(server) = server {
            return Ok(Self::Server(server));
        }
        if let Some(name) = context {
            return named(name);
        }
        if let Some(server) = variable(SERVER_VARIABLE) {
            return Ok(Self::Server(server));
        }
        if let Some(name) = variable(CONTEXT_VARIABLE) {
            return named(&name);
        }
        Ok(contexts.and_then(Contexts::in_use).map_or(Self::Nothing, Self::Context))
    }

    /// What in the environment says whom to ask.
    #[must_use]
    pub fn variable() -> Option<&'static str> {
        let is_set = |name: &&str| std::env::var_os(name).is_some_and(|text| !text.is_empty());
        [SERVER_VARIABLE, CONTEXT_VARIABLE].into_iter().find(is_set)
    }

    /// Where they are; `whom` they have to be, where only one of the two can answer.
    pub fn address(&self, whom: Option<Whom>) -> Outcome<Address> {
        match self {
            Self::Server(server) => Ok(Address::parse(server, whom)),
            Self::Context(context) => {
                if let (Some(whom), Some(found)) = (whom, &context.kind)
                    && whom.name() != found
                {
                    let what = format!(
                        "this asks a {}, and the context `{}` is a {found}",
                        whom.name(),
                        context.name
                    );
                    return Err(Failure::usage(what).hint(
                        "take another context with `--context NAME`, or name the server with `--server URL`",
                    ));
                }
                match context.key.clone() {
                    // One without a key is a folder, or is asked with the one in the environment.
                    None if !is_url(&context.server) => Ok(Address::parse(&context.server, whom)),
                    key => Ok(Address::Named(Place {
                        url: context.server.clone(),
                        key: key.map(|key| key.parse()).transpose().map_err(|_| {
                            Failure::usage(format!("the key of `{}` is damaged", context.name))
                        })?,
                        root: context.root,
                    })),
                }
            }
            Self::Nothing => Ok(here(whom)),
        }
    }
}

/// Whoever serves from this folder.
fn here(whom: Option<Whom>) -> Address {
    let serves = |whom: &Whom| Path::new(whom.data()).join(FILE).is_file();
    let found = match whom {
        Some(whom) => Some(whom).filter(serves),
        None => [Whom::Site, Whom::Hub].into_iter().find(serves),
    };
    match found {
        Some(whom) => Address::Folder(PathBuf::from(whom.data()), whom),
        None => Address::Usual(whom.unwrap_or(Whom::Site)),
    }
}

/// Whether it is no folder.
#[must_use]
pub fn is_url(server: &str) -> bool {
    server.contains("://")
}

impl Address {
    #[must_use]
    pub fn parse(server: &str, whom: Option<Whom>) -> Self {
        if is_url(server) {
            return Self::Named(Place { url: server.to_owned(), key: None, root: None });
        }
        let folder = PathBuf::from(server);
        let serves = |folder: &PathBuf| folder.join(FILE).is_file();
        // Somebody may name the folder that the data folder is in.
        let kinds = whom.map_or_else(|| vec![Whom::Site, Whom::Hub], |whom| vec![whom]);
        let mut within = kinds.iter().map(|whom| (folder.join(whom.data()), *whom));
        match within.find(|(below, _)| !serves(&folder) && serves(below)) {
            Some((below, whom)) => Self::Folder(below, whom),
            None => Self::Folder(folder, whom.unwrap_or(Whom::Site)),
        }
    }

    /// The site that serves from this folder; `None` where there is none.
    #[must_use]
    pub fn of_folder(data: &Path) -> Option<Self> {
        data.join(FILE).is_file().then(|| Self::Folder(data.to_owned(), Whom::Site))
    }

    /// Of the usual folders, that of the other of the two, where it alone is served from.
    #[must_use]
    pub fn other_here(&self) -> Option<Whom> {
        let other = match self {
            Self::Usual(Whom::Site) => Whom::Hub,
            Self::Usual(Whom::Hub) => Whom::Site,
            Self::Named(_) | Self::Folder(..) => return None,
        };
        Path::new(other.data()).join(FILE).is_file().then_some(other)
    }

    /// Where they are now. The key in the environment wins over a folder's: it was put there for this.
    pub fn place(&self) -> Outcome<Place> {
        let mut place = match self {
            Self::Named(place) => place.clone(),
            Self::Folder(data, whom) => {
                let url = read(&data.join(FILE))?.ok_or_else(|| nobody(data, *whom))?;
                Place { url, key: key_of(&data.join(KEY_FILE))?, root: None }
            }
            Self::Usual(whom) => whom.usual(),
        };
        // One of a context is for that server alone.
        let has_own = matches!(self, Self::Named(place) if place.key.is_some());
        let given = std::env::var(KEY_VARIABLE).ok().filter(|text| !text.is_empty() && !has_own);
        if let Some(text) = given {
            let key = text.parse();
            let wrong = |wrong| Failure::usage(format!("the variable {KEY_VARIABLE}: {wrong}"));
            place.key = Some(key.map_err(wrong)?);
        }
        Ok(place)
    }

    /// Why this address, for somebody who wonders.
    #[must_use]
    pub fn origin(&self) -> Option<String> {
        match self {
            Self::Named(_) | Self::Usual(_) => None,
            Self::Folder(data, _) => Some(format!(
                "the address stands in `{}`, which a process that was killed leaves behind",
                data.join(FILE).display()
            )),
        }
    }
}

impl Place {
    /// What a client needs. `now` says whether the certificate of a hub is still good.
    pub fn credentials(&self, now: base::Timestamp) -> Outcome<Credentials> {
        let tls = self.root.map(|root| site_config(root, None, now)).transpose();
        let tls = tls.map_err(|error| Failure::internal(error.to_string()))?;
        Ok(Credentials { key: self.key.as_ref().map(ApiKey::to_text), tls })
    }
}

/// The files are removed when the server stops.
fn nobody(data: &Path, whom: Whom) -> Failure {
    let shown = data.display();
    if !data.is_dir() {
        return Failure::usage(format!("`{shown}` is neither a URL nor a folder"))
            .hint("write `http://127.0.0.1:PORT`, `https://HOST:PORT`, or a data folder");
    }
    let start = match whom {
        Whom::Site => "isonomy dev",
        Whom::Hub => "isonomy hub serve",
    };
    Failure::new(Exit::Unreachable, format!("nobody serves from `{shown}`"))
        .hint(format!("start it there with `{start}`, or name another one with `--server URL`"))
}

fn key_of(file: &Path) -> Outcome<Option<ApiKey>> {
    let wrong = |wrong| {
        Failure::usage(format!("`{}`: {wrong}", file.display()))
            .hint("start the server there anew; it writes the file")
    };
    read(file)?.map(|text| text.parse()).transpose().map_err(wrong)
}

/// Nothing where there is no such file.
fn read(file: &Path) -> Outcome<Option<String>> {
    if !file.exists() {
        return Ok(None);
    }
    let wrong = |why: String| {
        Failure::usage(format!("cannot read `{}`: {why}", file.display()))
            .hint("name the server with `--server URL`, or remove the file")
    };
    let size = fs::metadata(file).map_err(|cause| wrong(cause.to_string()))?.len();
    if size > FILE_BYTES_MAX {
        return Err(wrong("it is too long".to_owned()));
    }
    let text = fs::read_to_string(file).map_err(|cause| wrong(cause.to_string()))?;
    Ok(Some(text.trim().to_owned()))
}

/// The address and the key as other commands find them; gone when this is dropped.
#[derive(Debug)]
pub struct Announced {
    data: PathBuf,
}

impl Announced {
    /// Each appears whole or not at all, and for the owner alone; the key first, since whoever sees an
    /// address asks at once.
    pub fn write(data: &Path, url: &str, key: &ApiKey) -> std::io::Result<Self> {
        for (name, text) in [(KEY_FILE, key.to_text()), (FILE, url.to_owned())] {
            let mut draft = tempfile::NamedTempFile::new_in(data)?;
            writeln!(draft, "{text}")?;
            draft.persist(data.join(name))?;
        }
        Ok(Self { data: data.to_owned() })
    }
}

impl Drop for Announced {
    fn drop(&mut self) {
        // What stays is an address where nobody answers, and every command says so.
        for name in [FILE, KEY_FILE] {
            let _ = fs::remove_file(self.data.join(name));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use base::SystemRandom;

    use super::*;

    /// Mutation: keep the files when the site stops, let others read the key, or cache what they say.
    #[test]
    fn the_folder_says_where_the_site_is_until_it_stops() {
        let data = tempfile::tempdir().expect("a temporary folder");
        let address = Address::Folder(data.path().to_owned(), Whom::Hub);
        for url in ["http://127.0.0.1:1", "http://127.0.0.1:2"] {
            let key = ApiKey::new(&SystemRandom);
            let announced = Announced::write(data.path(), url, &key).expect("written");
            let place = address.place().expect("readable");
            assert_eq!(place, Place { url: url.to_owned(), key: Some(key), root: None });
            let mode = fs::metadata(data.path().join(KEY_FILE)).expect("there").mode();
            assert_eq!(mode & 0o777, 0o600);
            drop(announced);
        }
        assert_eq!(address.place().expect_err("nobody").exit, Exit::Unreachable);
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
        let key = ApiKey::new(&SystemRandom);
        let _announced = Announced::write(data.path(), "http://[::1]:1", &key).expect("written");
        for name in [FILE, KEY_FILE] {
            let file = data.path().join(name);
            let good = fs::read(&file).expect("there");
            fs::write(&file, "x".repeat(1000)).expect("written");
            let address = Address::Folder(data.path().to_owned(), Whom::Site);
            assert!(address.place().is_err(), "{name}");
            fs::write(&file, good).expect("written");
            assert!(address.place().is_ok(), "{name}");
        }
    }

    /// Mutation: take a folder for a URL, or a hub's context for a site's.
    #[test]
    fn what_was_chosen_says_whom_to_ask() {
        let chosen = |server: &str| Chosen::Server(server.to_owned());
        let folder = chosen("place").address(Some(Whom::Hub)).expect("an address");
        assert_eq!(folder, Address::Folder(PathBuf::from("place"), Whom::Hub));
        let named = chosen("https://hub.example").address(None).expect("an address");
        assert!(matches!(named, Address::Named(Place { key: None, root: None, .. })), "{named:?}");
        let context = Context {
            name: "prod".to_owned(),
            server: "https://hub.example".to_owned(),
            key: Some(ApiKey::new(&SystemRandom).to_text()),
            root: None,
            namespace: None,
            kind: Some("hub".to_owned()),
        };
        let context = Chosen::Context(context);
        assert!(context.address(Some(Whom::Hub)).is_ok() && context.address(None).is_ok());
        let wrong = context.address(Some(Whom::Site)).expect_err("a hub is no site").render();
        assert!(wrong.contains("the context `prod` is a hub"), "{wrong}");
    }
}
