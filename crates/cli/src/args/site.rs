//! What can be typed behind `isonomy site`, for the one that is here, and `isonomy sites`, for the fleet.

use std::path::PathBuf;

use base::SiteName;
use clap::{Args, Subcommand};

use super::exchange::{ExportArgs, ImportArgs};
use super::{DevArgs, OutputArgs, PageArgs};
use crate::address;

#[derive(Debug, Args)]
pub struct SiteArgs {
    #[command(subcommand)]
    pub command: SiteCommand,
}

#[derive(Debug, Subcommand)]
pub enum SiteCommand {
    /// Become a site of a hub's fleet
    Join(SiteJoin),
    /// Keep the site running here, with its API on 127.0.0.1
    Serve(DevArgs),
    /// Show how the site is, and its line to the hub; also with the line down
    Status(OutputArgs),
    /// Show what has left the site today, or on another day: to whom, by which rule, how many bytes
    LeftToday(SiteLeftToday),
    /// Be nobody's site any more: what the hub had brought stays
    Leave(SiteLeave),
    /// Write the whole site but for its secrets into one file, while it works
    Backup(SiteBackup),
    /// Make a site from such a file, in a folder that has none
    Restore(SiteRestore),
    /// Write what waits for the hub into a file, where there is no line: only the hub can read it
    Export(ExportArgs),
    /// Take the file that the hub has written with `hub export`; again is harmless
    Import(ImportArgs),
}

#[derive(Debug, Args)]
pub struct SiteLeftToday {
    /// A day such as 2027-01-15, in UTC [default: today]
    #[arg(long, value_name = "DATE")]
    pub day: Option<String>,
    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(Debug, Args)]
pub struct SiteLeave {
    /// Folder of the site [default: ./.isonomy]
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
    /// Why, for the record
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
}

#[derive(Debug, Args)]
pub struct SiteBackup {
    /// The file to make: it holds the key by which the site is known to its hub
    pub file: PathBuf,
    /// Folder of the site [default: ./.isonomy]
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Leave that key out: whoever brings the site back needs a token that was made with `--replace`
    #[arg(long)]
    pub without_identity: bool,
}

#[derive(Debug, Args)]
pub struct SiteRestore {
    /// What `site backup` has made
    pub file: PathBuf,
    /// The folder to make
    #[arg(long, default_value = address::DATA, value_name = "DIR")]
    pub data: PathBuf,
}

#[derive(Debug, Args)]
pub struct SiteJoin {
    /// What `isonomy hub token create` has printed, or - for stdin
    #[arg(value_name = "TOKEN")]
    pub token: String,
    /// Folder of the site; made where there is none
    #[arg(long, default_value = address::DATA, value_name = "DIR")]
    pub data: PathBuf,
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct SitesArgs {
    #[command(subcommand)]
    pub command: Option<SitesCommand>,
    #[command(flatten)]
    pub list: SitesList,
}

#[derive(Debug, Subcommand)]
pub enum SitesCommand {
    /// List the sites of the fleet, each value with its age
    List(SitesList),
    /// Show one site, beginning with what is wrong
    Show(SitesShow),
    /// Change the tags of a site
    Tag(SitesTag),
    /// Leave a site out of what is ordered at several, such as before its machine is mended
    Cordon(SitesCordon),
    /// End that
    Uncordon(SitesCordon),
    /// Cordon a site, and wait until nothing that it was ordered is open or under way
    Drain(SitesDrain),
    /// Have nobody be this site any more, from its next frame on
    Revoke(SitesRevoke),
    /// After the hub was brought back from a backup: take the machine that says it is this site
    Adopt(SitesRevoke),
}

#[derive(Debug, Clone, Args)]
pub struct SitesList {
    #[command(flatten)]
    pub page: PageArgs,
    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(Debug, Args)]
pub struct SitesShow {
    #[arg(value_parser = SiteName::parse)]
    pub site: SiteName,
    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(Debug, Args)]
pub struct SitesTag {
    #[arg(value_parser = SiteName::parse)]
    pub site: SiteName,
    /// KEY=VALUE sets a tag, KEY- takes it away
    #[arg(required = true, value_name = "KEY=VALUE|KEY-")]
    pub change: Vec<String>,
    /// Why, for the record
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
}

#[derive(Debug, Args)]
pub struct SitesCordon {
    #[arg(value_parser = SiteName::parse)]
    pub site: SiteName,
    /// Why, for the record
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
}

#[derive(Debug, Args)]
pub struct SitesDrain {
    #[arg(value_parser = SiteName::parse)]
    pub site: SiteName,
    /// How long to wait
    #[arg(long, value_name = "TIME", default_value = "10m")]
    pub timeout: String,
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
    /// Why, for the record
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(Debug, Args)]
pub struct SitesRevoke {
    #[arg(value_parser = SiteName::parse)]
    pub site: SiteName,
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
    /// Why, for the record
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
}
