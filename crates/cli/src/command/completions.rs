//! `isonomy completions`: what a shell needs to complete commands.

use clap::CommandFactory as _;

use crate::args::Cli;
use crate::args::author::CompletionsArgs;
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::output;

pub fn completions(args: &CompletionsArgs) -> Outcome {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "isonomy", &mut text);
    let text =
        String::from_utf8(text).map_err(|_| Failure::internal("the completions are not text"))?;
    output::write(&text)?;
    Ok(Exit::Ok)
}
