//! What can be typed to write workflows: the tools that ask no site.

use std::path::PathBuf;

use base::RunId;
use clap::{Args, ValueEnum};
use clap_complete::Shell;

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

#[derive(Debug, Args)]
pub struct SchemaArgs {
    /// What kind of file
    #[arg(value_enum, default_value_t = SchemaKind::Workflow, value_name = "KIND")]
    pub kind: SchemaKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SchemaKind {
    /// A workflow
    Workflow,
    /// The configuration of a site
    Site,
    /// An author's tests of a workflow
    Test,
}

#[derive(Debug, Args)]
pub struct InitArgs {
    /// What to begin with
    #[arg(value_enum, default_value_t = Template::Hello, value_name = "TEMPLATE")]
    pub template: Template,
    /// Folder to write to; made where there is none
    #[arg(default_value = ".", value_name = "DIR")]
    pub folder: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Template {
    /// One task that sets a text
    Hello,
    /// A call over HTTP that is tried again
    Http,
    /// A switch, an error, and two things at once
    Branches,
}

#[derive(Debug, Args)]
pub struct ExampleArgs {
    /// An example; without it all are listed
    #[arg(value_name = "NAME")]
    pub name: Option<String>,
    /// Folder to write all its files to; without it the workflow is printed
    #[arg(value_name = "DIR", requires = "name")]
    pub folder: Option<PathBuf>,
    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(Debug, Args)]
pub struct CompletionsArgs {
    #[arg(value_enum, value_name = "SHELL")]
    pub shell: Shell,
}

#[derive(Debug, Args)]
pub struct GraphArgs {
    /// A file, - for stdin, or the name of a stored workflow
    #[arg(value_name = "FILE|NAME", required_unless_present = "run", conflicts_with = "run")]
    pub target: Option<PathBuf>,
    /// The workflow of this run, with what became of its tasks
    #[arg(long, value_name = "RUN")]
    pub run: Option<RunId>,
    /// Form of the picture on stdout
    #[arg(short, long, value_enum, default_value_t = Picture::Text, value_name = "FORM")]
    pub output: Picture,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Picture {
    /// A tree with arrows
    Text,
    /// For Markdown that draws Mermaid
    Mermaid,
    /// For browsers
    Svg,
}
