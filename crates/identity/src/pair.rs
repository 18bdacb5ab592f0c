//! A certificate that somebody else has made, and its key: what an API shows that has none of ours.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::tls::server_config;

/// The largest of these files: a chain has some ten thousand bytes.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

#[derive(Debug, thiserror::Error)]
pub enum PairError {
    #[error("cannot read `{path}`: {why}")]
    File { path: PathBuf, why: String },
    #[error("the certificate in `{certificate}` and the key in `{key}` cannot be used: {why}")]
    Pair { certificate: PathBuf, key: PathBuf, why: String },
}

struct Pair {
    certificate: PathBuf,
    key: PathBuf,
}

/// A certificate with its chain and its key, in two files. They are read anew when they have changed; as
/// long as what they hold then is no pair, the one before is shown.
pub fn pair_files(
    certificate: PathBuf,
    key: PathBuf,
) -> Result<impl Fn() -> Arc<ServerConfig> + Send + Sync + 'static, PairError> {
    let pair = Pair { certificate, key };
    let last = Mutex::new((pair.changed(), Arc::new(pair.read()?)));
    Ok(move || {
        let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = pair.changed();
        if changed != last.0 {
            match pair.read() {
                Ok(config) => *last = (changed, Arc::new(config)),
                // Tried again with the next connection: somebody may be about to write the other file.
                Err(error) => tracing::error!(%error, "the certificate before is still shown"),
            }
        }
        Arc::clone(&last.1)
    })
}

impl Pair {
    fn changed(&self) -> [Option<SystemTime>; 2] {
        [&self.certificate, &self.key]
            .map(|path| fs::metadata(path).and_then(|found| found.modified()).ok())
    }

    fn read(&self) -> Result<ServerConfig, PairError> {
        let failed = |path: &Path, why: String| PairError::File { path: path.to_owned(), why };
        let text = bytes(&self.certificate)?;
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
        let chain = chain.map_err(|wrong| failed(&self.certificate, wrong.to_string()))?;
        let key = PrivateKeyDer::from_pem_slice(&bytes(&self.key)?);
        // The message of a parser may hold a part of what it has read.
        let key = key.map_err(|_| failed(&self.key, "there is no private key in it".to_owned()))?;
        server_config(chain, key).map_err(|wrong| PairError::Pair {
            certificate: self.certificate.clone(),
            key: self.key.clone(),
            why: wrong.to_string(),
        })
    }
}

fn bytes(path: &Path) -> Result<Vec<u8>, PairError> {
    let failed = |why: String| PairError::File { path: path.to_owned(), why };
    let size = fs::metadata(path).map_err(|cause| failed(cause.to_string()))?.len();
    if size > FILE_BYTES_MAX {
        return Err(failed("it is too large".to_owned()));
    }
    fs::read(path).map_err(|cause| failed(cause.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(folder: &Path, name: &str) {
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).expect("a certificate");
        fs::write(folder.join("crt"), made.cert.pem()).expect("written");
        fs::write(folder.join("key"), made.signing_key.serialize_pem()).expect("written");
    }

    /// Mutation: read the files once, take a broken pair, or show a part of a key.
    #[test]
    fn files_are_read_anew_when_they_have_changed() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        assert!(pair_files(path("crt"), path("key")).is_err());
        write(folder.path(), "one");
        let shown = pair_files(path("crt"), path("key")).expect("a pair");
        let first = shown();
        assert!(Arc::ptr_eq(&first, &shown()));
        let at = |name: &str, seconds: u64| {
            let file = fs::File::options().write(true).open(path(name)).expect("there");
            let later = SystemTime::now() + std::time::Duration::from_secs(seconds);
            file.set_modified(later).expect("set");
        };
        write(folder.path(), "two");
        at("crt", 10);
        let second = shown();
        assert!(!Arc::ptr_eq(&first, &second));
        fs::write(path("key"), "-----BEGIN PRIVATE KEY-----\ns3cret").expect("written");
        at("key", 20);
        assert!(Arc::ptr_eq(&second, &shown()));
        let wrong = pair_files(path("crt"), path("key")).err().expect("no key").to_string();
        assert!(!wrong.contains("s3cret"), "{wrong}");
    }
}
