//! What can be typed. The reference is `docs/reference/commands.md`.

pub mod author;
pub mod dataset;
pub mod events;
pub mod exchange;
pub mod hub;
pub mod key;
pub mod logs;
pub mod model;
pub mod order;
pub mod placement;
pub mod prices;
pub mod secrets;
pub mod site;
pub mod store;
pub mod test;

use std::net::SocketAddr;
use std::path::PathBuf;

use base::{Namespace, OrderId, RequestId, RunId, SiteName, WorkflowName};
use clap::{Args, Parser, Subcommand};

use crate::address::{self, Chosen};
use crate::context::Contexts;
use crate::demo;
use crate::failure::{Failure, Outcome};
use crate::output::Format;

#[derive(Debug, Parser)]
#[command(
    name = "isonomy",
    version,
    about = "Durable workflows, where the data is",
    max_term_width = 100
)]
#[command(arg_required_else_help = true, subcommand_required = true)]
pub struct Cli {
    #[command(flatten)]
    pub global: GlobalArgs,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Clone, Args)]
pub struct GlobalArgs {
    /// Namespace; a file's own namespace wins for that file [default: the context's, else `default`]
    #[arg(short, long, global = true, value_parser = Namespace::parse, value_name = "NAME")]
    pub namespace: Option<Namespace>,
    /// The site or hub: its URL, or its data folder on this machine; also ISONOMY_SERVER, with the key in ISONOMY_KEY [default: the context in use, else whoever serves from `./.isonomy` or `./.isonomy-hub`]
    #[arg(long, global = true, value_name = "URL|DIR")]
    pub server: Option<String>,
    /// The site or hub, by its name in `isonomy context list`; also ISONOMY_CONTEXT
    #[arg(long, global = true, value_name = "NAME", value_parser = key::context_name, conflicts_with = "server")]
    pub context: Option<String>,
}

/// The namespace, and whom to ask.
#[derive(Debug, Clone)]
pub struct Global {
    pub namespace: Namespace,
    /// The namespace where somebody has typed it.
    pub given: Option<Namespace>,
    pub chosen: Chosen,
    /// The option by which somebody has said whom to ask.
    typed: Option<&'static str>,
}

impl Global {
    pub fn of(args: GlobalArgs) -> Outcome<Self> {
        let GlobalArgs { namespace: given, server, context } = args;
        let typed = match (&server, &context) {
            (Some(_), _) => Some("--server"),
            (None, Some(_)) => Some("--context"),
            (None, None) => None,
        };
        let contexts = Contexts::open()?;
        let chosen = Chosen::find(server, context.as_deref(), contexts.as_ref())?;
        let of_context = match &chosen {
            Chosen::Context(context) => context.namespace.clone(),
            Chosen::Server(_) | Chosen::Nothing => None,
        };
        let usual = || Namespace::parse("default").expect("a name");
        let namespace = given.clone().or(of_context).unwrap_or_else(usual);
        Ok(Self { namespace, given, chosen, typed })
    }

    /// For a command that works on a folder and asks nobody: what was typed would go unheard.
    pub fn refuse_typed(&self) -> Outcome<()> {
        self.typed.map_or(Ok(()), |option| Err(unheard(option)))
    }

    /// The folder of such a command. Where none was named, whoever has set a variable means another one.
    pub fn folder(&self, data: Option<PathBuf>, usual: &str) -> Outcome<PathBuf> {
        self.refuse_typed()?;
        match (data, Chosen::variable()) {
            (Some(data), _) => Ok(data),
            (None, Some(variable)) => Err(unheard(variable)),
            (None, None) => Ok(PathBuf::from(usual)),
        }
    }
}

fn unheard(name: &str) -> Failure {
    Failure::usage(format!(
        "this works on a data folder of this machine, and `{name}` is not for it"
    ))
    .hint("name the folder with `--data DIR`")
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show the real thing on real data, killed and resumed along the way
    Demo(demo::DemoArgs),
    /// Keep a site running here, with its API on 127.0.0.1
    Dev(DevArgs),
    /// Run a workflow and print its output
    Run(Box<RunArgs>),
    /// List, show and change runs
    Runs(RunsArgs),
    /// Store workflows from files
    Apply(ApplyArgs),
    /// List, show and delete workflows
    Workflows(WorkflowsArgs),
    /// Run an author's tests of a workflow, with stubs and skipped time
    Test(test::TestArgs),
    /// Set, list and delete the secrets that workflows use
    Secrets(secrets::SecretsArgs),
    /// List the data that workflows may read by name
    Datasets(dataset::DatasetsArgs),
    /// Name the models that calls may ask for at a site, and try them
    Models(model::ModelsArgs),
    /// Names that stand for several models
    Routes(model::RoutesArgs),
    /// Addresses elsewhere that calls are seen on their way to, untouched
    Watches(model::WatchesArgs),
    /// What models of providers cost, as a site reckons, and prices from LiteLLM's list
    Prices(prices::PricesArgs),
    /// What calls to models may cost
    Budgets(model::BudgetsArgs),
    /// What calls to models have used and cost
    Usage(model::UsageArgs),
    /// Calls to models: who asked, where each went and why, what it cost
    Calls(model::CallsArgs),
    /// Check, back up, restore, export and compact a site's store
    Store(store::StoreArgs),
    /// Make and keep a hub, and let sites join it
    Hub(hub::HubArgs),
    /// Join a hub, and keep a site running here
    Site(site::SiteArgs),
    /// The fleet, as its hub knows it
    Sites(site::SitesArgs),
    /// What a hub has had its sites do, and what became of it
    Orders(order::OrdersArgs),
    /// Which sites of a hub get which workflows
    Placements(placement::PlacementsArgs),
    /// Who may ask a hub or site, and for what
    Keys(key::KeysArgs),
    /// Which hub or site one talks to
    Context(key::ContextArgs),
    /// Show who one is for the hub or site that one talks to
    Whoami(OutputArgs),
    /// Show the version of this program, and of the site if one is there
    Version(OutputArgs),
    /// Send an event, so that workflows that listen to it go on
    Emit(events::EmitArgs),
    /// List and follow events
    Events(events::EventsArgs),
    /// Say everything that is wrong with documents; asks no site
    Validate(author::ValidateArgs),
    /// Write documents in the canonical layout, comments kept; asks no site
    Fmt(author::FmtArgs),
    /// Print the JSON Schema of a kind of file, for editors
    Schema(author::SchemaArgs),
    /// Write a workflow, its tests and a site's configuration to begin with
    Init(author::InitArgs),
    /// List, print or write the examples that are in this program
    Example(author::ExampleArgs),
    /// Print what a shell needs to complete commands
    Completions(author::CompletionsArgs),
    /// Draw a workflow, or a run of one
    Graph(author::GraphArgs),
}

impl Command {
    /// Whether it works on a data folder of this machine, and asks nobody that somebody could name.
    #[must_use]
    pub fn is_of_folder(&self) -> bool {
        use hub::HubCommand::{Backup, Init, Restore, Serve};
        use site::SiteCommand as Site;
        match self {
            Self::Dev(_) => true,
            Self::Hub(args) => {
                matches!(args.command, Init(_) | Serve(_) | Backup(_) | Restore(_))
            }
            Self::Site(args) => matches!(
                args.command,
                Site::Join(_)
                    | Site::Serve(_)
                    | Site::Leave(_)
                    | Site::Backup(_)
                    | Site::Restore(_)
            ),
            _ => false,
        }
    }
}

#[derive(Debug, Clone, Copy, Args)]
pub struct OutputArgs {
    /// Form of the data on stdout
    #[arg(short, long, value_enum, default_value_t = Format::Text, value_name = "FORM")]
    pub output: Format,
}

/// Where an API is asked beyond this machine.
#[derive(Debug, Clone, Default, Args)]
pub struct ApiArgs {
    /// Where else the API is asked, over TLS [default: on this machine only]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub api: Option<SocketAddr>,
    /// The certificate that is shown there, with its chain, in PEM; read anew when it changes
    #[arg(long, value_name = "FILE", requires_all = ["tls_key", "api"])]
    pub tls_cert: Option<PathBuf>,
    /// Its key, in PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct DevArgs {
    /// Folder of the store; made where there is none
    #[arg(long, default_value = address::DATA, value_name = "DIR")]
    pub data: PathBuf,
    /// Port on 127.0.0.1; 0 takes any free one
    #[arg(long, default_value_t = address::PORT)]
    pub port: u16,
    #[command(flatten)]
    pub api: ApiArgs,
    /// A hub in `./.isonomy-hub` and so many sites of it in the data folder, all in this process; the port is the hub's, 7475 unless told otherwise
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=20), conflicts_with = "config")]
    pub sites: Option<u8>,
    /// With --sites: where they come to their hub [default: 127.0.0.1:7473]
    #[arg(long, value_name = "ADDRESS:PORT", requires = "sites")]
    pub listen: Option<SocketAddr>,
    /// The site's configuration [default: `site.yaml` in the data folder, if it is there]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// What to log on stderr, such as `debug` or `warn,engine=debug`
    #[arg(long, env = "ISONOMY_LOG", default_value = "warn,isonomy=info", value_name = "FILTER")]
    pub log: String,
}

#[derive(Debug, Args)]
pub struct RunArgs {
    /// A file, which is applied first, or the name of a stored workflow
    #[arg(value_name = "FILE|NAME")]
    pub target: PathBuf,
    /// Input: KEY=VALUE, @FILE (JSON or YAML), or - for stdin; may be repeated
    #[arg(short, long, value_name = "INPUT", allow_hyphen_values = true)]
    pub input: Vec<String>,
    /// Print a line for every event on stderr
    #[arg(long, conflicts_with = "detach")]
    pub follow: bool,
    /// Print the run's id and leave
    #[arg(long)]
    pub detach: bool,
    /// Run in this process, on a store that is gone afterwards; needs no site and asks none
    #[arg(long, conflicts_with = "detach")]
    pub local: bool,
    /// With --local: the site's configuration
    #[arg(long, requires = "local", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The run's id, so that starting twice is harmless [default: a new one]
    #[arg(long, value_name = "RUN")]
    pub id: Option<RunId>,
    /// Revision of a stored workflow [default: the current one]
    #[arg(long, value_name = "DIGEST")]
    pub revision: Option<String>,
    /// Mark of the run; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = tag)]
    pub tag: Vec<(String, String)>,
    /// Label of the input's data, such as `health`; may be repeated
    #[arg(long, value_name = "LABEL")]
    pub label: Vec<String>,
    /// Runs of a higher one go first where something is scarce
    #[arg(long, default_value_t = 0, allow_hyphen_values = true)]
    pub priority: i32,
    /// Why, for the record
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// With a file: more documents, or folders of them, to apply together with it; may be repeated
    #[arg(long, value_name = "FILE|DIR")]
    pub with: Vec<PathBuf>,
    /// At this site of the hub's fleet, which has the workflow; may be repeated
    #[arg(long, value_name = "NAME", value_parser = SiteName::parse, conflicts_with_all = ["local", "id", "with"])]
    pub site: Vec<SiteName>,
    /// At the sites with all of these tags, with commas
    #[arg(long, value_name = "KEY=VALUE,…", value_parser = tag, value_delimiter = ',', conflicts_with_all = ["local", "id", "with", "site"])]
    pub r#where: Vec<(String, String)>,
    /// At every site of the fleet
    #[arg(long, conflicts_with_all = ["local", "id", "with", "site", "where"])]
    pub all: bool,
    /// With --site, --where or --all: the request's id, so that asking twice is harmless [default: a new one]
    #[arg(long, value_name = "REQUEST", conflicts_with_all = ["local", "id", "with"])]
    pub request: Option<RequestId>,
    /// With --site, --where or --all: how long a site has to begin
    #[arg(long, value_name = "TIME", default_value = "1d")]
    pub ttl: String,
    /// Form of the output on stdout [default: json]; `text` writes a string as it is
    #[arg(short, long, value_enum, value_name = "FORM")]
    pub output: Option<Format>,
}

impl RunArgs {
    /// Whether the hub is asked to have sites do it.
    #[must_use]
    pub fn is_ordered(&self) -> bool {
        !self.site.is_empty() || !self.r#where.is_empty() || self.all
    }
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct RunsArgs {
    #[command(subcommand)]
    pub command: Option<RunsCommand>,
    #[command(flatten)]
    pub list: RunsList,
}

#[derive(Debug, Subcommand)]
pub enum RunsCommand {
    /// List runs, newest first
    List(RunsList),
    /// Show one run, beginning with what went wrong
    Show(RunsShow),
    /// Say who started a run, where it waits, and what has left the site; at a hub, which sites were meant
    Explain(RunsExplain),
    /// Follow one run until it ends
    Follow(RunsFollow),
    /// Cancel a run
    Cancel(RunsChange),
    /// Have a faulted run go on from the task that faulted
    Retry(RunsChange),
    /// Have a run stand still: nothing new begins in it
    Suspend(RunsChange),
    /// Have a suspended run go on
    Resume(RunsChange),
    /// Print the records of a run's journal
    Events(RunsEvents),
    /// Print what the scripts and commands of a run have written
    Logs(logs::RunsLogs),
}

#[derive(Debug, Clone, Args)]
pub struct PageArgs {
    /// Entries on one page [default: 50]
    #[arg(long, value_name = "N")]
    pub limit: Option<u32>,
    /// Where the page begins, as the page before said
    #[arg(long, value_name = "CURSOR")]
    pub cursor: Option<String>,
    /// All pages
    #[arg(long, conflicts_with = "cursor")]
    pub all: bool,
}

#[derive(Debug, Clone, Args)]
pub struct RunsList {
    /// Only runs of this workflow
    #[arg(long, value_name = "NAME", value_parser = WorkflowName::parse)]
    pub workflow: Option<WorkflowName>,
    /// Only runs in this state; several with commas
    #[arg(long, value_name = "STATE", value_delimiter = ',')]
    pub state: Vec<String>,
    /// Only runs since this time, or so long ago (`2h`, `PT2H`), by the time in their ids
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    #[command(flatten)]
    pub page: PageArgs,
    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(Debug, Args)]
pub struct RunsShow {
    pub run: RunId,
    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(Debug, Args)]
pub struct RunsExplain {
    /// A run; at a hub also an order
    #[arg(value_name = "RUN|ORDER")]
    pub id: Explained,
    #[command(flatten)]
    pub output: OutputArgs,
}

/// What is to be explained.
#[derive(Debug, Clone, Copy)]
pub enum Explained {
    Run(RunId),
    Order(OrderId),
}

impl std::str::FromStr for Explained {
    type Err = base::id::IdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let order = text.parse().map(Self::Order);
        order.or_else(|_| text.parse().map(Self::Run))
    }
}

impl std::fmt::Display for Explained {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Run(run) => run.fmt(f),
            Self::Order(order) => order.fmt(f),
        }
    }
}

#[derive(Debug, Args)]
pub struct RunsFollow {
    pub run: RunId,
    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(Debug, Args)]
pub struct RunsChange {
    pub run: RunId,
    /// Why, for the record
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
}

#[derive(Debug, Args)]
pub struct RunsEvents {
    pub run: RunId,
    /// Only records behind this one
    #[arg(long, default_value_t = 0, value_name = "SEQUENCE")]
    pub after: u64,
    /// Records on one page
    #[arg(long, value_name = "N")]
    pub limit: Option<u32>,
    /// All pages
    #[arg(long)]
    pub all: bool,
    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(Debug, Args)]
pub struct ApplyArgs {
    /// A document, a folder of documents, or - for stdin; may be repeated
    #[arg(short, long, required = true, value_name = "FILE|DIR", allow_hyphen_values = true)]
    pub file: Vec<PathBuf>,
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
    /// Only show what would change
    #[arg(long)]
    pub dry_run: bool,
    /// Why, for the record
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct WorkflowsArgs {
    #[command(subcommand)]
    pub command: Option<WorkflowsCommand>,
    #[command(flatten)]
    pub list: WorkflowsList,
}

#[derive(Debug, Subcommand)]
pub enum WorkflowsCommand {
    /// List the stored workflows
    List(WorkflowsList),
    /// Show a workflow with its text and revisions
    Show(WorkflowsShow),
    /// Delete a workflow; its runs go on, and applying it again brings it back. A hub's is taken from its sites, so that asks
    Delete(WorkflowsDelete),
}

#[derive(Debug, Clone, Args)]
pub struct WorkflowsList {
    #[command(flatten)]
    pub page: PageArgs,
    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(Debug, Args)]
pub struct WorkflowsShow {
    #[arg(value_parser = WorkflowName::parse)]
    pub name: WorkflowName,
    /// Another revision than the current one
    #[arg(long, value_name = "DIGEST")]
    pub revision: Option<String>,
    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(Debug, Args)]
pub struct WorkflowsDelete {
    #[arg(value_parser = WorkflowName::parse)]
    pub name: WorkflowName,
    /// At a hub: do not ask
    #[arg(short, long)]
    pub yes: bool,
    /// Why, for the record
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
}

fn tag(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("a tag is written KEY=VALUE".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    /// Mutation: give two arguments of one command the same letter.
    #[test]
    fn the_commands_are_well_formed() {
        Cli::command().debug_assert();
    }

    /// Mutation: take a subcommand out, or leave it out of the reference.
    #[test]
    fn every_command_and_option_is_in_the_reference() {
        let reference = include_str!("../../../../docs/reference/commands.md");
        let mut missing = Vec::new();
        look_up(&Cli::command(), "isonomy", reference, &mut missing);
        assert_eq!(missing, Vec::<String>::new());
    }

    fn look_up(command: &clap::Command, name: &str, reference: &str, missing: &mut Vec<String>) {
        if command.get_subcommands().next().is_none() && !reference.contains(&format!("`{name}")) {
            missing.push(name.to_owned());
        }
        let shown = command.get_arguments().filter(|argument| !argument.is_hide_set());
        for argument in shown.filter_map(clap::Arg::get_long) {
            if !reference.contains(&format!("`--{argument}"))
                && !["help", "version"].contains(&argument)
            {
                missing.push(format!("{name} --{argument}"));
            }
        }
        for child in command.get_subcommands().filter(|child| !child.is_hide_set()) {
            look_up(child, &format!("{name} {}", child.get_name()), reference, missing);
        }
    }
}
