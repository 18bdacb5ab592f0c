//! What can be typed behind `isonomy prices`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{OutputArgs, PageArgs};

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct PricesArgs {
    #[command(subcommand)]
    pub command: Option<PricesCommand>,
    #[command(flatten)]
    pub list: PricesList,
}

#[derive(Debug, Subcommand)]
pub enum PricesCommand {
    /// List the models that a site has prices of, and what they cost now
    List(PricesList),
    /// Show all that a site knows of one: by service, tier, region and time, and where it was read
    Show(PricesShow),
    /// Write tables of prices from LiteLLM's public price file; asks no site
    Import(PricesImport),
}

#[derive(Debug, Clone, Args)]
pub struct PricesList {
    /// Only models of this provider
    #[arg(long, value_name = "NAME")]
    pub provider: Option<String>,
    /// Only models with this text in one of their names
    #[arg(long, value_name = "TEXT")]
    pub search: Option<String>,
    #[command(flatten)]
    pub page: PageArgs,
    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(Debug, Args)]
pub struct PricesShow {
    /// As `isonomy prices` lists it, or by another of its names
    #[arg(value_name = "PROVIDER/MODEL", value_parser = offered)]
    pub model: (String, String),
    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(Debug, Args)]
pub struct PricesImport {
    /// LiteLLM's `model_prices_and_context_window.json`; `-` is stdin
    pub file: PathBuf,
    /// Which version of LiteLLM it is of; stands in each row
    #[arg(long, value_name = "VERSION")]
    pub from: Option<String>,
    /// The day on which it was read there, such as `2026-11-22` [default: today]
    #[arg(long, value_name = "DAY")]
    pub dated: Option<jiff::civil::Date>,
    /// The folder that `models.csv` and `prices.csv` are written to; neither may be there
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    #[command(flatten)]
    pub output: OutputArgs,
}

/// A model's own name may have slashes in it, and a provider's has none.
fn offered(text: &str) -> Result<(String, String), String> {
    match text.split_once('/') {
        Some((provider, model)) if !provider.is_empty() && !model.is_empty() => {
            Ok((provider.to_owned(), model.to_owned()))
        }
        _ => Err("write PROVIDER/MODEL, such as `openai/gpt-4o-mini`".to_owned()),
    }
}
