//! What can be typed behind `isonomy placements`.

use base::WorkflowName;
use clap::{Args, Subcommand};

use super::OutputArgs;

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct PlacementsArgs {
    #[command(subcommand)]
    pub command: Option<PlacementsCommand>,
    #[command(flatten)]
    pub list: OutputArgs,
}

#[derive(Debug, Subcommand)]
pub enum PlacementsCommand {
    /// List which sites get which workflows
    List(OutputArgs),
    /// Take a placement away; sites that have its workflows by no other one lose them
    Delete(PlacementsDelete),
}

#[derive(Debug, Args)]
pub struct PlacementsDelete {
    #[arg(value_parser = WorkflowName::parse)]
    pub name: WorkflowName,
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
    /// Why, for the record
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
}
