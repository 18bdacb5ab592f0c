//! What can be typed behind `isonomy test`.

use std::path::PathBuf;

use clap::Args;

use super::OutputArgs;

#[derive(Debug, Args)]
pub struct TestArgs {
    /// A workflow, its test file, or a folder with test files in it and below
    #[arg(required = true, value_name = "FILE|DIR")]
    pub file: Vec<PathBuf>,
    /// Only cases whose name contains this
    #[arg(long, value_name = "TEXT")]
    pub case: Option<String>,
    /// Run the cases on another file or stored revision too, and show what differs
    #[arg(long, value_name = "FILE|DIGEST")]
    pub compare: Option<String>,
    #[command(flatten)]
    pub output: OutputArgs,
}
