//! Whose folder it is. A hub's and a site's both have a store and an identity, and either would write into the
//! other's.

use std::path::Path;

use hub::{HubFolder, HubFolderError};
use store_sqlite::{OpenError, SqliteStore};

use crate::failure::{Failure, Outcome};

pub fn refuse_hub(data: &Path) -> Outcome<()> {
    match HubFolder::open(data) {
        // What cannot be read is told by whoever opens the rest.
        Err(HubFolderError::Missing(_) | HubFolderError::File(_)) => Ok(()),
        _ => Err(Failure::usage(format!("`{}` is a hub's folder, and no site's", data.display()))
            .hint("name the folder of a site with `--data DIR`; `isonomy hub serve` keeps a hub")),
    }
}

/// A store that is not a hub's yet is a site's: `init` makes that of a hub last.
pub fn refuse_site(data: &Path) -> Outcome<()> {
    let is_hub = !matches!(HubFolder::open(data), Err(HubFolderError::Missing(_)));
    if is_hub || matches!(SqliteStore::look(data), Err(OpenError::Missing { .. })) {
        return Ok(());
    }
    Err(Failure::usage(format!("`{}` is a site's folder", data.display()))
        .hint("name another folder with `--data DIR`"))
}
