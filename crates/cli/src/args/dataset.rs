//! What can be typed behind `isonomy datasets`.

use clap::{Args, Subcommand};

use super::{OutputArgs, PageArgs};

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct DatasetsArgs {
    #[command(subcommand)]
    pub command: Option<DatasetsCommand>,
    #[command(flatten)]
    pub list: DatasetsList,
}

#[derive(Debug, Subcommand)]
pub enum DatasetsCommand {
    /// List what a namespace may read at a site, or what the sites of a hub have told it of
    List(DatasetsList),
}

#[derive(Debug, Clone, Args)]
pub struct DatasetsList {
    #[command(flatten)]
    pub page: PageArgs,
    #[command(flatten)]
    pub output: OutputArgs,
}
