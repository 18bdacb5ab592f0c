//! What can be typed about events.

use base::RunId;
use clap::{Args, Subcommand};

use super::{OutputArgs, PageArgs};

#[derive(Debug, Args)]
pub struct EmitArgs {
    /// The event's type, such as `com.example.order.placed`
    #[arg(value_name = "TYPE")]
    pub kind: String,
    /// Its data: JSON, @FILE (JSON or YAML), or - for stdin
    #[arg(short, long, value_name = "DATA", allow_hyphen_values = true)]
    pub data: Option<String>,
    /// Where it comes from, as a URI
    #[arg(long, default_value = "/command-line", value_name = "URI")]
    pub source: String,
    /// What it is about
    #[arg(long, value_name = "TEXT")]
    pub subject: Option<String>,
    /// Its id, so that sending it twice is harmless [default: a new one]
    #[arg(long, value_name = "ID")]
    pub id: Option<String>,
    /// Another attribute; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = attribute)]
    pub attribute: Vec<(String, String)>,
    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct EventsArgs {
    #[command(subcommand)]
    pub command: Option<EventsCommand>,
    #[command(flatten)]
    pub list: EventsList,
}

#[derive(Debug, Subcommand)]
pub enum EventsCommand {
    /// List events, newest first
    List(EventsList),
    /// Print events as they come
    Follow(EventsFollow),
}

#[derive(Debug, Clone, Args)]
pub struct EventFilter {
    /// Only of this type; `com.example.*` is all that begin so
    #[arg(long = "type", value_name = "TYPE")]
    pub kind: Option<String>,
    /// Only from this source
    #[arg(long, value_name = "URI")]
    pub source: Option<String>,
    /// Only about this
    #[arg(long, value_name = "TEXT")]
    pub subject: Option<String>,
    /// What one run tells: its life, that of its tasks, and what it has emitted; oldest first
    #[arg(long, value_name = "RUN")]
    pub run: Option<RunId>,
}

#[derive(Debug, Clone, Args)]
pub struct EventsList {
    #[command(flatten)]
    pub filter: EventFilter,
    /// Only those that came after this time, or so long ago (`2h`, `PT2H`)
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// Oldest first
    #[arg(long)]
    pub oldest: bool,
    #[command(flatten)]
    pub page: PageArgs,
    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(Debug, Args)]
pub struct EventsFollow {
    #[command(flatten)]
    pub filter: EventFilter,
    /// Behind this event; 0 is from the oldest one that is kept [default: from now on]
    #[arg(long, value_name = "CURSOR")]
    pub after: Option<String>,
    #[command(flatten)]
    pub output: OutputArgs,
}

fn attribute(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("an attribute is written NAME=VALUE".to_owned()),
    }
}
