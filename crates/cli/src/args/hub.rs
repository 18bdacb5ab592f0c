//! What can be typed behind `isonomy hub`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use base::SiteName;
use clap::{Args, Subcommand};
use identity::Domain;

use super::exchange::{ExportArgs, ImportArgs};
use super::{ApiArgs, OutputArgs, tag};
use crate::address;

/// All addresses of this machine: sites come from elsewhere.
const SITES: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), address::SITES_PORT);

#[derive(Debug, Args)]
pub struct HubArgs {
    #[command(subcommand)]
    pub command: HubCommand,
}

#[derive(Debug, Subcommand)]
pub enum HubCommand {
    /// Make a hub: the root of the fleet's trust, and the hub's own authority below it
    Init(HubInit),
    /// Keep a hub running here
    Serve(HubServe),
    /// Let machines become sites
    Token(TokenArgs),
    /// Who signs for this hub, below the root of its fleet
    Authority(AuthorityArgs),
    /// Write the whole hub into one file, while it works
    Backup(HubBackup),
    /// Make a hub from such a file, in a folder that has none
    Restore(HubRestore),
    /// What a hub that was brought back waits for
    Recovery(RecoveryArgs),
    /// Write what a site is told into a file, where it has no line: only that site can read it
    Export(HubExport),
    /// Take the file that a site has written with `site export`; again is harmless
    Import(ImportArgs),
}

#[derive(Debug, Args)]
pub struct HubBackup {
    /// The file to make: it holds the key of the hub's authority
    pub file: PathBuf,
    /// Folder of the hub [default: ./.isonomy-hub]
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct HubRestore {
    /// What `hub backup` has made
    pub file: PathBuf,
    /// The folder to make
    #[arg(long, default_value = address::HUB_DATA, value_name = "DIR")]
    pub data: PathBuf,
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct RecoveryArgs {
    #[command(subcommand)]
    pub command: Option<RecoveryCommand>,
    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(Debug, Subcommand)]
pub enum RecoveryCommand {
    /// Show which sites have not told yet what they hold
    Show(OutputArgs),
    /// Do not wait for these sites
    Waive(RecoveryWaive),
    /// Wait for nobody any more: what this hub says is the newest from now on
    End(RecoveryEnd),
}

#[derive(Debug, Args)]
pub struct RecoveryWaive {
    #[arg(value_name = "SITE", value_parser = SiteName::parse, required_unless_present = "all")]
    pub sites: Vec<SiteName>,
    /// All that are waited for now
    #[arg(long, conflicts_with = "sites")]
    pub all: bool,
    /// Why, for the record
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
}

#[derive(Debug, Args)]
pub struct RecoveryEnd {
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
    /// Why, for the record
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct AuthorityArgs {
    #[command(subcommand)]
    pub command: Option<AuthorityCommand>,
    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(Debug, Subcommand)]
pub enum AuthorityCommand {
    /// Show the authorities, and until when their word counts
    Show(OutputArgs),
    /// Have a new authority sign, with the key of the fleet's root; sites are believed by the old one for sixty days more
    Rotate(AuthorityRotate),
    /// End that now: sites that have not been here since need a new token
    Forget(AuthorityForget),
}

#[derive(Debug, Args)]
pub struct AuthorityRotate {
    /// The key of the fleet's root, which `hub init` made: it is read here, and the hub does not get it
    #[arg(long, value_name = "FILE")]
    pub root_key: PathBuf,
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
pub struct AuthorityForget {
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
    /// Why, for the record
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
}

#[derive(Debug, Args)]
pub struct HubExport {
    /// The site that the file is for
    #[arg(long, value_name = "NAME", value_parser = SiteName::parse)]
    pub site: SiteName,
    #[command(flatten)]
    pub file: ExportArgs,
}

#[derive(Debug, Args)]
pub struct HubInit {
    /// Name of the fleet, such as `acme` or `fleet.acme.example`; it stands in every certificate
    #[arg(long, value_name = "NAME", value_parser = Domain::parse)]
    pub domain: Domain,
    /// Folder of the hub; made where there is none
    #[arg(long, default_value = address::HUB_DATA, value_name = "DIR")]
    pub data: PathBuf,
    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(Debug, Args)]
pub struct HubServe {
    /// Folder of the hub, as `hub init` has made it
    #[arg(long, default_value = address::HUB_DATA, value_name = "DIR")]
    pub data: PathBuf,
    /// Where sites come
    #[arg(long, default_value_t = SITES, value_name = "ADDRESS:PORT")]
    pub listen: SocketAddr,
    /// Where sites find the hub, as tokens tell them; may be repeated [default: what is listened on]
    #[arg(long, value_name = "HOST:PORT")]
    pub address: Vec<String>,
    /// Port of the API, on 127.0.0.1; 0 takes any free one
    #[arg(long, default_value_t = address::HUB_PORT)]
    pub port: u16,
    #[command(flatten)]
    pub api: ApiArgs,
    /// Keep a site of this name in the same process, in the folder of that name below the hub's
    #[arg(long, value_name = "NAME", value_parser = SiteName::parse)]
    pub with_site: Option<SiteName>,
    /// What to log on stderr, such as `debug` or `warn,hub=debug`
    #[arg(long, env = "ISONOMY_LOG", default_value = "warn,isonomy=info", value_name = "FILTER")]
    pub log: String,
}

#[derive(Debug, Args)]
pub struct TokenArgs {
    #[command(subcommand)]
    pub command: TokenCommand,
}

#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Make a token by which one machine becomes a site, once
    Create(TokenCreate),
}

#[derive(Debug, Args)]
pub struct TokenCreate {
    /// Name of the site
    #[arg(long, value_name = "NAME", value_parser = SiteName::parse, required_unless_present = "from")]
    pub site: Option<SiteName>,
    /// Sites from a CSV file: a column `site`, every other column a tag
    #[arg(long, value_name = "FILE", conflicts_with_all = ["site", "tag"])]
    pub from: Option<PathBuf>,
    /// Mark of the site; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = tag)]
    pub tag: Vec<(String, String)>,
    /// How long it is good for, from `1m` to `7d`
    #[arg(long, default_value = "1h", value_name = "TIME")]
    pub ttl: String,
    /// The site has joined already, and another machine takes its place
    #[arg(long)]
    pub replace: bool,
    /// Where the site finds the hub; may be repeated [default: as the hub says]
    #[arg(long, value_name = "HOST:PORT")]
    pub hub: Vec<String>,
    /// Why, for the record
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    #[command(flatten)]
    pub output: OutputArgs,
}
