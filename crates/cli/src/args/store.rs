//! What can be typed behind `isonomy store`.

use std::path::PathBuf;

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
    /// Forget what is due now, and give the room back to the disk
    Compact(StoreCompact),
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
