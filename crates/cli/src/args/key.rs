//! What can be typed behind `isonomy keys` and `isonomy context`.

use std::path::PathBuf;
use std::str::FromStr as _;

use base::KeyName;
use clap::{Args, Subcommand};
use identity::Pin;
use wire::{KeyScope, Role};

use super::{OutputArgs, PageArgs};

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct KeysArgs {
    #[command(subcommand)]
    pub command: Option<KeysCommand>,
    #[command(flatten)]
    pub list: KeysList,
}

#[derive(Debug, Subcommand)]
pub enum KeysCommand {
    /// Make a key, which is printed this once
    Create(KeysCreate),
    /// List the keys that one may hand out; never the keys themselves
    List(KeysList),
    /// End a key, from the next request on
    Revoke(KeysRevoke),
}

#[derive(Debug, Args)]
pub struct KeysCreate {
    /// Who or what holds it; it stands in the record of what is done with it
    #[arg(value_parser = KeyName::parse)]
    pub name: KeyName,
    /// `viewer`, `operator` or `admin` in the namespace, or in another one: `lab=viewer`, `*=viewer` for all; may be repeated. Not with `--scope model` alone
    #[arg(long, value_name = "[NAMESPACE=]ROLE", value_parser = granted)]
    pub role: Vec<(Option<String>, Role)>,
    /// At which doors it is taken; may be repeated
    #[arg(long, default_value = "api", value_name = "SCOPE", value_parser = KeyScope::from_str)]
    pub scope: Vec<KeyScope>,
    #[command(flatten)]
    pub model: KeyModels,
    /// How long it is good for, from `1m` to ten years [default: until it is revoked]
    #[arg(long, value_name = "TIME")]
    pub ttl: Option<String>,
    /// Why, for the record
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    #[command(flatten)]
    pub output: OutputArgs,
}

/// With the scope `model`: calls in the namespace, and for how much.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub struct KeyModels {
    /// With --scope model: what its calls may cost, such as `50EUR/month`; may be repeated, once for each period
    #[arg(long, value_name = "BUDGET")]
    pub budget: Vec<String>,
    /// With --scope model: names that it may ask for, `*` at the end for any rest, with commas [default: all]
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    pub models: Vec<String>,
    /// With --scope model: requests in a minute at most
    #[arg(long, value_name = "N")]
    pub requests_per_minute: Option<u64>,
    /// With --scope model: tokens in a minute at most, of input and output together
    #[arg(long, value_name = "N")]
    pub tokens_per_minute: Option<u64>,
}

#[derive(Debug, Clone, Args)]
pub struct KeysList {
    #[command(flatten)]
    pub page: PageArgs,
    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(Debug, Args)]
pub struct KeysRevoke {
    #[arg(value_parser = KeyName::parse)]
    pub name: KeyName,
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
    /// Why, for the record
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct ContextArgs {
    #[command(subcommand)]
    pub command: Option<ContextCommand>,
    #[command(flatten)]
    pub list: OutputArgs,
}

#[derive(Debug, Subcommand)]
pub enum ContextCommand {
    /// Remember a hub or site, and the key to ask it by; one of that name is replaced
    Add(ContextAdd),
    /// Talk to that one from now on, or without a name to whoever is here
    Use(ContextUse),
    /// List the contexts; the one in use is marked
    List(OutputArgs),
    /// Forget a context
    Remove(ContextUse),
}

#[derive(Debug, Args)]
pub struct ContextAdd {
    #[arg(value_parser = context_name)]
    pub name: String,
    /// A file with the key, or - for stdin [default: the key of a data folder, or ISONOMY_KEY]
    #[arg(long, value_name = "FILE", allow_hyphen_values = true)]
    pub key: Option<PathBuf>,
    /// Digest of the fleet's root, as `hub serve` says it: a hub that shows a certificate below it is trusted
    #[arg(long, value_name = "DIGEST")]
    pub root: Option<Pin>,
}

#[derive(Debug, Args)]
pub struct ContextUse {
    #[arg(value_parser = context_name)]
    pub name: Option<String>,
}

fn granted(text: &str) -> Result<(Option<String>, Role), String> {
    let (namespace, role) = match text.split_once('=') {
        Some((namespace, role)) => (Some(namespace.to_owned()), role),
        None => (None, text),
    };
    Ok((namespace, role.parse().map_err(|wrong: wire::RoleError| wrong.to_string())?))
}

pub fn context_name(text: &str) -> Result<String, String> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    match text {
        "" => Err("a name has at least one letter".to_owned()),
        _ if text.len() > base::name::NAME_CHARS_MAX || !text.bytes().all(plain) => {
            Err("up to 63 letters, digits, `-`, `_` or `.`".to_owned())
        }
        _ => Ok(text.to_owned()),
    }
}
