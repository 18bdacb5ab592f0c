//! A site of one command: the real thing, on a store that is gone afterwards.
//!
//! It listens on a port of this machine like any other site, so that the command sees exactly what
//! it would see elsewhere.

use std::path::Path;

use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::address::{Address, Place};
use crate::args::ApiArgs;
use crate::failure::{Failure, Outcome};
use crate::output;
use crate::serve::Serving;

#[derive(Debug)]
pub struct Local {
    place: Place,
    stop: oneshot::Sender<()>,
    served: JoinHandle<Outcome<()>>,
    folder: TempDir,
}

impl Local {
    pub async fn open(config: Option<&Path>) -> Outcome<Self> {
        let folder = tempfile::Builder::new().prefix("isonomy-local-").tempdir();
        let folder = folder.map_err(|cause| {
            Failure::internal(format!("cannot make a temporary folder: {cause}"))
        })?;
        let serving =
            Serving::open(&folder.path().join("store"), config, 0, &ApiArgs::default()).await?;
        let place = Place { url: serving.url(), key: Some(serving.own_key().clone()), root: None };
        let (stop, stopped) = oneshot::channel();
        let served = tokio::spawn(serving.serve(async {
            // Dropped when somebody panicked: also a reason to stop.
            let _ = stopped.await;
        }));
        Ok(Self { place, stop, served, folder })
    }

    #[must_use]
    pub fn address(&self) -> Address {
        Address::Named(self.place.clone())
    }

    /// Leaves nothing behind.
    pub async fn close(self) {
        let _ = self.stop.send(());
        let stopped = match self.served.await {
            Ok(stopped) => stopped,
            Err(cause) => {
                Err(Failure::internal(format!("the local site did not stop cleanly: {cause}")))
            }
        };
        if let Err(failure) = stopped {
            output::say(&failure.render());
        }
        let path = self.folder.path().to_owned();
        if let Err(cause) = self.folder.close() {
            output::say(&format!("warning: cannot remove `{}`: {cause}", path.display()));
        }
    }
}
