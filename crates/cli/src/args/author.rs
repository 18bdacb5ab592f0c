//! What can be typed to write workflows: the tools that ask no site.

use std::path::PathBuf;

use clap::Args;

use super::OutputArgs;

#[derive(Debug, Args)]
pub struct ValidateArgs {
    /// A document, a folder of documents, or - for stdin
    #[arg(required = true, value_name = "FILE|DIR")]
    pub file: Vec<PathBuf>,
    /// End with exit code 2 for warnings as well
    #[arg(long)]
    pub deny_warnings: bool,
    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(Debug, Args)]
pub struct FmtArgs {
    /// A document, a folder of documents, or - for stdin, which is written to stdout
    #[arg(required = true, value_name = "FILE|DIR")]
    pub file: Vec<PathBuf>,
    /// Change nothing; end with exit code 2 if a file has another layout
    #[arg(long)]
    pub check: bool,
    /// Change nothing; print what would change
    #[arg(long)]
    pub diff: bool,
}
