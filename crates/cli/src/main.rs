//! The one binary. Here are the arguments, the commands, and what people and scripts see of them;
//! what a site is and does is in `site` and below.

mod address;
mod api;
mod args;
mod backup;
mod command;
mod confirm;
mod context;
mod demo;
mod diff;
mod document;
mod exit;
mod failure;
mod fault;
mod file;
mod folder;
mod follow;
mod input;
mod interrupt;
mod judge;
mod lay_out;
mod local;
mod logs;
mod memory;
mod output;
mod progress;
mod resource;
mod runtime;
mod serve;
mod show;
mod trial;
mod when;

use std::process::ExitCode;

use clap::Parser as _;

use exit::Exit;

fn main() -> ExitCode {
    // A process that keeps foreign code away from a site; it must come up before anything has
    // started a thread.
    if let Some(ended) = sandbox::child_main() {
        return ended;
    }
    let cli = match args::Cli::try_parse() {
        Ok(cli) => cli,
        Err(said) => {
            // Help and version are data, wrong usage is talk; the parser knows which goes where.
            let _ = said.print();
            return if said.use_stderr() { Exit::Usage.into() } else { Exit::Ok.into() };
        }
    };
    match command::perform(cli) {
        Ok(exit) => exit.into(),
        Err(failure) => {
            eprintln!("{}", failure.render());
            failure.exit.into()
        }
    }
}
