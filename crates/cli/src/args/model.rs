//! What can be typed behind `isonomy models`, `routes`, `budgets`, `usage` and `calls`.

use std::path::PathBuf;

use base::{CallId, SecretName};
use clap::{Args, Subcommand, ValueEnum};
use models::{Dialect, ModelName, Operation, Takes};

use super::{OutputArgs, PageArgs};

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct ModelsArgs {
    #[command(subcommand)]
    pub command: Option<ModelsCommand>,
    #[command(flatten)]
    pub list: ResourceList,
}

#[derive(Debug, Subcommand)]
pub enum ModelsCommand {
    /// Give a model, at a server or in a file, a name that calls can ask for; one of that name is replaced
    Add(Box<ModelsAdd>),
    /// List the models of a namespace, and whether there is a way to them
    List(ResourceList),
    /// Show a model as a document, and why it is not ready
    Show(ResourceShow),
    /// Take a model away; calls that ask for it are refused from then on
    Remove(ResourceRemove),
    /// Ask a model or route something, by the door that its clients take
    Try(ModelsTry),
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct RoutesArgs {
    #[command(subcommand)]
    pub command: Option<RoutesCommand>,
    #[command(flatten)]
    pub list: ResourceList,
}

#[derive(Debug, Subcommand)]
pub enum RoutesCommand {
    /// List the routes of a namespace; `isonomy apply` stores them
    List(ResourceList),
    /// Show a route as a document
    Show(ResourceShow),
    /// Take a route away; calls that ask for it are refused from then on
    Remove(ResourceRemove),
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct WatchesArgs {
    #[command(subcommand)]
    pub command: Option<WatchesCommand>,
    #[command(flatten)]
    pub list: ResourceList,
}

#[derive(Debug, Subcommand)]
pub enum WatchesCommand {
    /// List the watches of a namespace, and what programs are pointed at; `isonomy apply` stores them
    List(ResourceList),
    /// Show a watch as a document
    Show(ResourceShow),
    /// Take a watch away; programs that are pointed at it fail from then on
    Remove(ResourceRemove),
}

#[derive(Debug, Args)]
pub struct ModelsAdd {
    #[arg(value_parser = ModelName::parse)]
    pub name: ModelName,
    /// The server's address, below which its dialect's paths are, such as `https://api.openai.com/v1`, or a
    /// file that the site is to run (ONNX, GGUF, or a folder of safetensors): here, or at an address that ends
    /// in `.onnx` or `.gguf`
    #[arg(value_name = "URL|FILE")]
    pub url: String,
    /// Of the file at an address: which one is meant, `sha256:…` as its author says it
    #[arg(long, value_name = "DIGEST")]
    pub digest: Option<String>,
    /// The address is that of a file, however it ends
    #[arg(long, requires = "digest")]
    pub artifact: bool,
    /// What the server speaks
    #[arg(long, value_enum, default_value_t = Speaks::OpenAi)]
    pub dialect: Speaks,
    /// What the server calls it [default: NAME]
    #[arg(long, value_name = "NAME")]
    pub model: Option<String>,
    /// The secret of the namespace that opens the server
    #[arg(long, value_name = "NAME", value_parser = SecretName::parse)]
    pub secret: Option<SecretName>,
    /// Where it computes, for routes: `eu`, `here`
    #[arg(long, value_name = "REGION")]
    pub region: Option<String>,
    /// Another namespace that may call it, `*` for all; may be repeated
    #[arg(long, value_name = "NAMESPACE")]
    pub share: Vec<String>,
    /// Tokens of one answer at most
    #[arg(long, value_name = "N")]
    pub output_tokens: Option<u64>,
    /// Tokens of question and answer together at most
    #[arg(long, value_name = "N")]
    pub context_tokens: Option<u64>,
    /// What it takes beside words: `tools`, `images`, `schema`; what could be answered here is judged by it
    #[arg(long, value_name = "WHAT,…", value_delimiter = ',', value_enum)]
    pub takes: Vec<Beside>,
    /// What its server has, where that is not all of its dialect: `chat`, `completions`, `embeddings`, `responses`
    #[arg(long, value_name = "WHAT,…", value_delimiter = ',', value_parser = operation)]
    pub operations: Vec<Operation>,
    /// Calls at once at most
    #[arg(long, value_name = "N")]
    pub concurrency: Option<u32>,
    /// What it may not see, and what its answers may not hold: `standard`, `none`, or a file with what a
    /// document says in `spec.protect`
    #[arg(long, value_name = "standard|none|FILE")]
    pub protect: Option<String>,
    /// `free`, or the row of the prices, shipped or the owner's [default: the row of its name, if there is one]
    #[arg(long, value_name = "free|PROVIDER/MODEL", conflicts_with_all = ["price_input", "price_output", "currency"])]
    pub price: Option<String>,
    /// A price of one's own for a million tokens of input
    #[arg(long, value_name = "AMOUNT", requires = "currency")]
    pub price_input: Option<String>,
    /// And for a million tokens of output
    #[arg(long, value_name = "AMOUNT", requires = "currency")]
    pub price_output: Option<String>,
    /// What these are in, such as `EUR`
    #[arg(long, value_name = "CODE")]
    pub currency: Option<String>,
    /// A price of one's own for a second of a file's work
    #[arg(long, value_name = "AMOUNT", requires = "currency", conflicts_with = "price")]
    pub price_second: Option<String>,
    /// Seconds that a call of a file may take at most, waiting included [default: 30]
    #[arg(long, value_name = "SECONDS")]
    pub deadline: Option<u64>,
    /// Why, for the record
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Speaks {
    OpenAi,
    Anthropic,
    /// Version 2 of the Open Inference Protocol, as Triton and others speak it
    OpenInference,
}

impl From<Speaks> for Dialect {
    fn from(speaks: Speaks) -> Self {
        match speaks {
            Speaks::OpenAi => Self::OpenAi,
            Speaks::Anthropic => Self::Anthropic,
            Speaks::OpenInference => Self::OpenInference,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Beside {
    Tools,
    Images,
    /// Answers in a form that the question gives
    Schema,
}

fn operation(text: &str) -> Result<Operation, String> {
    let found = Operation::ALL.into_iter().find(|it| it.as_str() == text);
    found.ok_or_else(|| {
        format!("there are {}", Operation::ALL.map(|it| format!("`{}`", it.as_str())).join(", "))
    })
}

impl From<Beside> for Takes {
    fn from(beside: Beside) -> Self {
        match beside {
            Beside::Tools => Self::Tools,
            Beside::Images => Self::Images,
            Beside::Schema => Self::Schema,
        }
    }
}

#[derive(Debug, Args)]
pub struct ModelsTry {
    #[arg(value_parser = ModelName::parse)]
    pub name: ModelName,
    /// What it is asked. Of a model of tensors: a request of the Open Inference Protocol, a list of JSON, rows
    /// of CSV, or a file with one of these [default: a greeting, or zeros]
    pub text: Option<String>,
    /// Print the answer as it comes
    #[arg(long)]
    pub stream: bool,
    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(Debug, Clone, Args)]
pub struct ResourceList {
    #[command(flatten)]
    pub page: PageArgs,
    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(Debug, Args)]
pub struct ResourceShow {
    #[arg(value_parser = ModelName::parse)]
    pub name: ModelName,
    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(Debug, Args)]
pub struct ResourceRemove {
    #[arg(value_parser = ModelName::parse)]
    pub name: ModelName,
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
    /// Why, for the record
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct BudgetsArgs {
    #[command(subcommand)]
    pub command: Option<BudgetsCommand>,
    #[command(flatten)]
    pub list: OutputArgs,
}

#[derive(Debug, Subcommand)]
pub enum BudgetsCommand {
    /// List the budgets that one may see, and how they stand
    List(OutputArgs),
    /// Cap what calls may cost; one of that holder and period is replaced, and what was spent stays spent
    Set(BudgetsSet),
    /// Take a cap away
    Remove(BudgetsRemove),
    /// Say what will be spent at the end of each window, if it goes on as it began
    Forecast(OutputArgs),
}

#[derive(Debug, Args)]
pub struct BudgetsSet {
    /// `namespace/NAME`, `key/NAME` or `workflow/NAMESPACE/NAME`
    pub holder: String,
    /// An amount and a period, such as `50EUR/month`
    pub budget: String,
    /// At a hub: over these sites together, with commas between their names, or `all`
    #[arg(long, value_name = "NAME,…|all", value_delimiter = ',')]
    pub sites: Vec<String>,
    /// At a hub: over the sites with all of these tags, with commas
    #[arg(long, value_name = "KEY=VALUE,…", value_parser = super::tag, value_delimiter = ',', conflicts_with = "sites")]
    pub r#where: Vec<(String, String)>,
    /// Shares in percent, with commas, that are told as the event `dev.isonomy.budget.reached` [default: 50,80,100]
    #[arg(long, value_name = "PERCENT,…", value_delimiter = ',', conflicts_with_all = ["sites", "where"])]
    pub alarm: Vec<u8>,
    /// Why, for the record
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
}

#[derive(Debug, Args)]
pub struct BudgetsRemove {
    /// As `isonomy budgets` shows it
    pub holder: String,
    /// `hour`, `day`, `week`, `month`, `year` or `total`
    pub period: String,
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
    /// Why, for the record
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum UsageFormat {
    /// Sums, by `--by`
    Table,
    /// CSV with the columns of the FinOps Open Cost and Usage Specification 1.2
    Focus,
}

#[derive(Debug, Args)]
pub struct UsageArgs {
    /// What is told apart: one or more of `namespace`, `key`, `workflow`, `model`, `operation`, `day`, `hour`; at a
    /// hub `site` too, and no `key` [default: namespace,model]
    #[arg(long, value_name = "NAME,…")]
    pub by: Option<String>,
    /// Only calls since then: `7d`, `PT2H`, or a time; whole hours
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// Sums, or a table for tools that show costs
    #[arg(long, value_enum, default_value = "table")]
    pub format: UsageFormat,
    /// Of such a table: only calls before then; whole hours
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
    /// Of such a table: the file that it is written to [default: what you see]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct CallsArgs {
    #[command(subcommand)]
    pub command: Option<CallsCommand>,
    #[command(flatten)]
    pub list: ResourceList,
}

#[derive(Debug, Subcommand)]
pub enum CallsCommand {
    /// List the calls of a namespace that have ended, newest first
    List(ResourceList),
    /// Say who asked what, where it went and why, and what it cost
    Explain(CallsExplain),
    /// Say what a call has cost that was booked at the most that it may have cost, since nobody knew
    Settle(CallsSettle),
    /// List the questions that wait for a person, since no model has answered
    Inbox(InboxArgs),
    /// Answer a question of the inbox, or decline to
    Answer(CallsAnswer),
    /// Say what share of the calls that went elsewhere a model at the site could have answered
    LocalShare(CallsLocalShare),
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct InboxArgs {
    #[command(subcommand)]
    pub command: Option<InboxCommand>,
    #[command(flatten)]
    pub list: ResourceList,
}

#[derive(Debug, Subcommand)]
pub enum InboxCommand {
    /// Say who has asked what, and until when an answer is of use
    Show(InboxShow),
}

#[derive(Debug, Args)]
pub struct InboxShow {
    /// As `isonomy calls inbox` shows it
    pub call: CallId,
    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(Debug, Args)]
pub struct CallsAnswer {
    /// As `isonomy calls inbox` shows it
    pub call: CallId,
    /// A file with the answer; `-` is stdin
    #[arg(value_name = "FILE", required_unless_present_any = ["text", "decline"])]
    pub file: Option<PathBuf>,
    /// The answer
    #[arg(long, conflicts_with = "file")]
    pub text: Option<String>,
    /// There will be no answer
    #[arg(long, conflicts_with_all = ["file", "text"])]
    pub decline: bool,
    /// Why, for whoever has asked, and for the record
    #[arg(long, value_name = "TEXT", requires = "decline")]
    pub reason: Option<String>,
    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(Debug, Args)]
pub struct CallsLocalShare {
    /// What is told apart: one or more of `namespace`, `watch`, `key`, `model`, `operation`, `day`
    #[arg(long, value_name = "NAME,…", default_value = "model")]
    pub by: String,
    /// Only calls since then: `7d`, `PT2H`, or a time
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// As if each model at the site took so many tokens of question and answer
    #[arg(long, value_name = "N")]
    pub context_tokens: Option<u64>,
    /// As if each took tools
    #[arg(long)]
    pub tools: bool,
    /// As if each took images
    #[arg(long)]
    pub images: bool,
    /// As if each could answer in a form that the question gives
    #[arg(long)]
    pub schema: bool,
    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(Debug, Args)]
pub struct CallsExplain {
    /// As `isonomy calls` and the header `x-isonomy-call` of an answer say it
    pub call: CallId,
    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(Debug, Args)]
pub struct CallsSettle {
    /// As `isonomy calls` shows it
    pub call: CallId,
    /// What it has cost, such as `0.12EUR`; not more than it was booked at
    #[arg(long, value_name = "AMOUNT", required_unless_present = "free")]
    pub cost: Option<String>,
    /// It has cost nothing
    #[arg(long, conflicts_with = "cost")]
    pub free: bool,
    /// How you know, for the record
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    #[command(flatten)]
    pub output: OutputArgs,
}
