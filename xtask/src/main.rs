//! `cargo xtask`: reads the command line and calls the tool.

use std::process::ExitCode;

use xtask::{bench, clients, conformance, fit, licence, test};

const USAGE: &str = "\
cargo xtask test [--fast]          everything that must pass before a change goes in;
                                   --fast leaves out the documentation and the licences
cargo xtask bench engine [--workload NAME] [--peers] [--seconds N] [--repeats N] [--idle N]
                                   w1 (durable steps per second through the HTTP API, beside SQLite
                                   alone), w2 (fork of 100), w3 (start and rest), w4 (resume of 1,000
                                   runs), w1-http, long (a million iterations), due (100,000 runs
                                   that wake), list (of a million runs), soak (two hours at half
                                   load); --peers: beside Restate and LangGraph in the same run
cargo xtask bench fleet [--sites N] [--outcomes N] [--idle SECONDS]
                                   a hub with 10,000 lines: memory of a line, an edition to all,
                                   outcomes per second, all back after a SIGKILL, bytes at rest
cargo xtask bench gateway [--peers] [--seconds N] [--repeats N]
                                   calls to models: processor time a call beside a bare proxy, own
                                   time, first byte, 5,000 streams; --peers: beside LiteLLM and
                                   Portkey in the same run; --isonomy FILE, once or more: of programs
                                   that were built before, side by side
cargo xtask conformance [-o json]  the language's conformance kit through the command line, as a table
cargo xtask bench validate [--repeats N]
                                   how long `isonomy validate` takes, process start and all
cargo xtask clients                installs the packages that the tests with real clients need
cargo xtask licences               the licences of everything that is linked in or needed to build
cargo xtask fit                    fits the model of the tumour-screening example again
";

/// The command line was not understood, or asks for what is not there yet.
const USAGE_EXIT: u8 = 2;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match words.as_slice() {
        ["test", flags @ ..] => match test::Options::parse(flags) {
            Ok(options) => test::run(&options),
            Err(wrong) => return usage(&wrong),
        },
        ["bench", "engine", flags @ ..] => match bench::Options::parse(flags) {
            Ok(options) => bench::run(&options),
            Err(wrong) => return usage(&wrong),
        },
        ["bench", "fleet", flags @ ..] => match bench::fleet::Options::parse(flags) {
            Ok(options) => bench::fleet::run(&options),
            Err(wrong) => return usage(&wrong),
        },
        ["bench", "gateway", flags @ ..] => match bench::gateway::Options::parse(flags) {
            Ok(options) => bench::gateway::run(&options),
            Err(wrong) => return usage(&wrong),
        },
        ["conformance", flags @ ..] => match conformance::Options::parse(flags) {
            Ok(options) => conformance::run(&options),
            Err(wrong) => return usage(&wrong),
        },
        ["bench", "validate", flags @ ..] => match bench::validate::Options::parse(flags) {
            Ok(options) => bench::validate::run(&options),
            Err(wrong) => return usage(&wrong),
        },
        ["clients"] => clients::run(),
        ["licences"] => licence::run(),
        ["fit"] => fit::run(),
        [] | ["help" | "--help" | "-h"] => {
            print!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        _ => return usage(&format!("no such command: `{}`", words.join(" "))),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(wrong) => {
            eprintln!("error: {wrong:#}");
            ExitCode::FAILURE
        }
    }
}

fn usage(wrong: &str) -> ExitCode {
    eprintln!("error: {wrong}\n\n{USAGE}");
    ExitCode::from(USAGE_EXIT)
}
