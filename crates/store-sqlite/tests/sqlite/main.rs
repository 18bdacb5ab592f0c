//! The store on SQLite: the suite, and what only a store on a disk can do.

mod agreement;
mod batches;
mod blob;
mod crash;
mod disk;
mod event;
mod folder;
mod journal;
mod plan;
mod power;
mod read_ahead;
mod rest;

use isonomy_store_sqlite as sqlite;

use std::path::Path;

use sqlite::{OpenOptions, SqliteStore};

fn open(folder: &Path) -> SqliteStore {
    SqliteStore::open(folder, OpenOptions::default()).expect("the folder is ours")
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder for the test")
}

macro_rules! tests {
    ($($noun:ident::$case:ident),* $(,)?) => {
        mod suite {
            $(
                #[tokio::test]
                async fn $case() {
                    let folder = super::folder();
                    let opened = super::open(folder.path());
                    ::store::suite::$noun::$case(&opened).await;
                }
            )*
        }
    };
}

store::suite_cases!(tests);
