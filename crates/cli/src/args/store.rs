//! What can be typed behind `isonomy store`.

use std::path::PathBuf;

use base::RunId;
use clap::{Args, Subcommand};

use super::OutputArgs;
use crate::address;

#[derive(Debug, Args)]
pub struct StoreArgs {
    #[command(subcommand)]
    pub command: StoreCommand,
}

#[derive(Debug, Subcommand)]
pub enum StoreCommand {
    /// Compare everything in the store with what the journals say; changes nothing
    Check(StoreCheck),
    /// Copy the store into a new folder, while work goes on
    Backup(StoreBackup),
    /// Make a store from a backup, in a folder that has none
    Restore(StoreRestore),
    /// Print everything readable as lines of JSON
    Export(StoreExport),
    /// Forget what is due now, and give the room back to the disk
    Compact(StoreCompact),
}

#[derive(Debug, Clone, Args)]
pub struct Whose {
    /// The data folder of a site that is stopped [default: ask the site]
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct StoreCheck {
    #[command(flatten)]
    pub whose: Whose,
    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(Debug, Args)]
pub struct StoreBackup {
    /// The folder to make; an empty one will do
    pub dest: PathBuf,
    #[command(flatten)]
    pub whose: Whose,
}

#[derive(Debug, Args)]
pub struct StoreRestore {
    /// A folder that `store backup` has made
    pub backup: PathBuf,
    /// The data folder to make
    #[arg(long, default_value = address::DATA, value_name = "DIR")]
    pub data: PathBuf,
}

#[derive(Debug, Args)]
pub struct StoreExport {
    /// Only this run
    #[arg(long, value_name = "RUN")]
    pub run: Option<RunId>,
    /// All namespaces instead of the one of `--namespace`
    #[arg(long)]
    pub all_namespaces: bool,
    /// Only runs that began after this time, or so long ago (`2h`, `PT2H`)
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// Write to this file, which must not be there yet [default: stdout]
    #[arg(long, value_name = "FILE")]
    pub to: Option<PathBuf>,
    #[command(flatten)]
    pub whose: Whose,
}

#[derive(Debug, Args)]
pub struct StoreCompact {
    /// Folder of the store; a site that serves from it is asked, without one it is done here
    #[arg(long, default_value = address::DATA, value_name = "DIR")]
    pub data: PathBuf,
    /// The site's configuration, where no site serves [default: `site.yaml` in the data folder, if it is there; without one, no run is forgotten]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    #[command(flatten)]
    pub output: OutputArgs,
}
