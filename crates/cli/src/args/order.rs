//! What can be typed behind `isonomy orders`.

use base::{RequestId, SiteName};
use clap::{Args, Subcommand};

use super::{OutputArgs, PageArgs};
use crate::output::Format;

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct OrdersArgs {
    #[command(subcommand)]
    pub command: Option<OrdersCommand>,
    #[command(flatten)]
    pub list: OrdersList,
}

#[derive(Debug, Subcommand)]
pub enum OrdersCommand {
    /// List orders, newest first
    List(OrdersList),
    /// Follow the orders of a request until nothing more is to be expected
    Follow(OrdersFollow),
}

#[derive(Debug, Clone, Args)]
pub struct OrdersList {
    /// Those that were given for this request
    #[arg(long, value_name = "REQUEST", conflicts_with = "site")]
    pub request: Option<RequestId>,
    /// Those to this site
    #[arg(long, value_name = "NAME", value_parser = SiteName::parse)]
    pub site: Option<SiteName>,
    /// In one of these states, with commas: open, taken, refused, expired, unknown
    #[arg(long, value_name = "STATE,…", value_delimiter = ',')]
    pub state: Vec<String>,
    /// Only those of which something is still to come
    #[arg(long)]
    pub going: bool,
    #[command(flatten)]
    pub page: PageArgs,
    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(Debug, Args)]
pub struct OrdersFollow {
    /// What `isonomy run --site` and the like have said
    pub request: RequestId,
    /// Form of the data on stdout: a table at the end, or each change as it comes
    #[arg(short, long, value_enum, value_name = "FORM")]
    pub output: Option<Format>,
}
