//! The commands: one file per noun or verb. Each turns arguments into calls and answers into data.

pub mod apply;
mod artifact;
pub mod authority;
pub mod budgets;
pub mod calls;
mod compact;
pub mod completions;
pub mod context;
pub mod datasets;
pub mod desired;
pub mod dev;
mod drain;
pub mod events;
pub mod example;
pub mod exchange;
mod explain;
pub mod fmt;
pub mod graph;
pub mod hub;
mod inbox;
pub mod init;
pub mod keys;
pub mod left;
mod local_share;
pub mod models;
pub mod order;
pub mod placements;
pub mod prices;
pub mod recovery;
pub mod routes;
pub mod run;
pub mod runs;
pub mod schema;
pub mod secrets;
mod shelf;
pub mod site;
pub mod sites;
pub mod store;
pub mod test;
mod try_model;
pub mod usage;
pub mod validate;
pub mod version;
pub mod watches;
pub mod whole;
pub mod workflows;

use wire::{Page, Whoami};

use crate::address::Whom;
use crate::api::{Api, Part};
use crate::args::hub::HubCommand;
use crate::args::site::SiteCommand;
use crate::args::{Cli, Command, Global, PageArgs};
use crate::demo;
use crate::failure::Outcome;
use crate::output;
use crate::runtime;

/// Entries that `--all` asks for at once: the most that a site gives.
const ALL_PAGE: u32 = 500;

/// Does what was typed.
pub fn perform(cli: Cli) -> Outcome {
    let Cli { global, command } = cli;
    let global = Global::of(global)?;
    if command.is_of_folder() {
        global.refuse_typed()?;
    }
    match command {
        Command::Demo(args) => demo::run(args),
        Command::Dev(args) => runtime::site(dev::dev(args)),
        Command::Run(args) if args.local => runtime::site(run::run_local(&global, *args)),
        Command::Run(args) if args.is_ordered() => runtime::client(order::run(&global, *args)),
        Command::Run(args) => runtime::client(run::run(&global, *args)),
        Command::Runs(args) => runtime::client(runs::runs(&global, args)),
        Command::Apply(args) => runtime::client(apply::apply(&global, args)),
        Command::Workflows(args) => runtime::client(workflows::workflows(&global, args)),
        Command::Test(args) => test::test(&global, &args),
        Command::Secrets(args) => runtime::client(secrets::secrets(&global, args)),
        Command::Datasets(args) => runtime::client(datasets::datasets(&global, args)),
        Command::Models(args) => runtime::client(models::models(&global, args)),
        Command::Routes(args) => runtime::client(routes::routes(&global, args)),
        Command::Watches(args) => runtime::client(watches::watches(&global, args)),
        Command::Prices(args) => runtime::client(prices::prices(&global, args)),
        Command::Budgets(args) => runtime::client(budgets::budgets(&global, args)),
        Command::Usage(args) => runtime::client(usage::usage(&global, args)),
        Command::Calls(args) => runtime::client(calls::calls(&global, args)),
        Command::Store(args) => {
            let run = if args.is_here() { runtime::site } else { runtime::client };
            run(store::store(&global, args))
        }
        Command::Hub(args) => match args.command {
            HubCommand::Init(args) => runtime::site(hub::init(&args)),
            HubCommand::Serve(args) => runtime::site(hub::serve(args)),
            HubCommand::Token(args) => runtime::client(hub::token(&global, args)),
            HubCommand::Authority(args) => runtime::client(authority::authority(&global, args)),
            HubCommand::Backup(args) => runtime::site(whole::hub_backup(&global, args)),
            HubCommand::Restore(args) => runtime::site(whole::hub_restore(&args)),
            HubCommand::Recovery(args) => runtime::client(recovery::recovery(&global, args)),
            HubCommand::Export(args) => runtime::client(exchange::hub_export(&global, args)),
            HubCommand::Import(args) => runtime::client(exchange::hub_import(&global, args)),
        },
        Command::Site(args) => match args.command {
            SiteCommand::Join(args) => site::join(args),
            SiteCommand::Serve(args) => runtime::site(dev::dev(args)),
            SiteCommand::Status(args) => runtime::client(site::status(&global, args)),
            SiteCommand::LeftToday(args) => runtime::client(left::left_today(&global, args)),
            SiteCommand::Leave(args) => runtime::site(left::leave(&global, args)),
            SiteCommand::Backup(args) => runtime::site(whole::site_backup(&global, args)),
            SiteCommand::Restore(args) => runtime::site(whole::site_restore(&args)),
            SiteCommand::Export(args) => runtime::client(exchange::site_export(&global, args)),
            SiteCommand::Import(args) => runtime::client(exchange::site_import(&global, args)),
        },
        Command::Orders(args) => runtime::client(order::orders(&global, args)),
        Command::Sites(args) => runtime::client(sites::sites(&global, args)),
        Command::Placements(args) => runtime::client(placements::placements(&global, args)),
        Command::Keys(args) => runtime::client(keys::keys(&global, args)),
        Command::Context(args) => runtime::client(context::context(&global, args)),
        Command::Whoami(args) => runtime::client(keys::whoami(&global, args)),
        Command::Version(args) => runtime::client(version::version(&global, args)),
        Command::Emit(args) => runtime::client(events::emit(&global, args)),
        Command::Events(args) => runtime::client(events::events(&global, args)),
        Command::Validate(args) => validate::validate(&args),
        Command::Fmt(args) => fmt::fmt(&args),
        Command::Schema(args) => schema::schema(&args),
        Command::Init(args) => init::init(&args),
        Command::Graph(args) => graph::graph(&global, &args),
        Command::Example(args) => example::example(&args),
        Command::Completions(args) => completions::completions(&args),
    }
}

/// The site that was named, or the one that is here.
fn api(global: &Global) -> Outcome<Api> {
    let address = global.chosen.address(Some(Whom::Site))?;
    Ok(Api::new(address, global.namespace.clone())?.wanting(Whom::Site))
}

/// The hub that was named, or the one that is here.
fn hub_api(global: &Global) -> Outcome<Api> {
    let address = global.chosen.address(Some(Whom::Hub))?;
    Ok(Api::new(address, global.namespace.clone())?.wanting(Whom::Hub))
}

/// Whichever of the two was named, or is here.
fn any_api(global: &Global) -> Outcome<Api> {
    Api::new(global.chosen.address(None)?, global.namespace.clone())
}

/// Whom one talks to, for a plan or a question.
fn place(who: &Whoami, address: &str) -> String {
    output::harmless(&format!("the {} {}, {address}", who.kind, who.name))
}

/// Which part of a list was asked for: a page, or all pages one by one.
async fn pages<T>(
    page: &PageArgs,
    mut read: impl AsyncFnMut(Part) -> Outcome<Page<T>>,
) -> Outcome<Page<T>> {
    if !page.all {
        return read(Part { limit: page.limit, cursor: page.cursor.clone() }).await;
    }
    let mut items = Vec::new();
    let mut cursor = None;
    loop {
        let next = read(Part { limit: Some(page.limit.unwrap_or(ALL_PAGE)), cursor }).await?;
        items.extend(next.items);
        cursor = next.next;
        if cursor.is_none() {
            return Ok(Page { items, next: None });
        }
    }
}

/// Says how to get the next page, if there is one.
fn say_next(next: Option<&str>) {
    if let Some(next) = next {
        output::say(&format!(
            "there are more: add `--cursor {next}` for the next page, or `--all`"
        ));
    }
}
