//! What can be typed behind `isonomy secrets`. A value cannot: lists of processes show arguments.

use std::path::PathBuf;

use base::SecretName;
use clap::{Args, Subcommand};

use super::{OutputArgs, PageArgs};

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct SecretsArgs {
    #[command(subcommand)]
    pub command: Option<SecretsCommand>,
    #[command(flatten)]
    pub list: SecretsList,
}

#[derive(Debug, Subcommand)]
pub enum SecretsCommand {
    /// List the secrets of a namespace; never their values
    List(SecretsList),
    /// Set a secret to what stdin says; a terminal is asked for one line
    Set(SecretsSet),
    /// Delete a secret in all its versions
    Delete(SecretsDelete),
}

#[derive(Debug, Clone, Args)]
pub struct SecretsList {
    #[command(flatten)]
    pub page: PageArgs,
    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(Debug, Args)]
pub struct SecretsSet {
    #[arg(value_parser = SecretName::parse)]
    pub name: SecretName,
    /// Read the value from this file instead
    #[arg(long, value_name = "FILE")]
    pub from_file: Option<PathBuf>,
    /// The value is JSON, such as an object with `username` and `password`
    #[arg(long)]
    pub json: bool,
    /// Why, for the record
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
}

#[derive(Debug, Args)]
pub struct SecretsDelete {
    #[arg(value_parser = SecretName::parse)]
    pub name: SecretName,
    /// Why, for the record
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
}
