//! `isonomy dev`: a site that stays up until it is told to stop.

use std::path::Path;

use tracing_subscriber::EnvFilter;

use crate::address::{self, Announced};
use crate::args::DevArgs;
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::interrupt::Interrupt;
use crate::output;
use crate::serve::Serving;

/// In the data folder: the configuration that is read where none is named.
pub const CONFIG_FILE: &str = "site.yaml";

pub async fn dev(args: DevArgs) -> Outcome {
    log(&args.log)?;
    // Listened to before anything is open, so that a signal never finds it half open.
    let mut interrupt = Interrupt::any()?;
    let usual = args.data.join(CONFIG_FILE);
    let config = args.config.or_else(|| usual.is_file().then(|| usual.clone()));
    let serving = Serving::open(&args.data, config.as_deref(), args.port).await?;
    let url = serving.url();
    let announced = Announced::write(&args.data, &url).map_err(|cause| {
        Failure::internal(format!(
            "cannot write the address into `{}`: {cause}",
            args.data.display()
        ))
    })?;
    output::write(&format!("listening on {url}"))?;
    greet(&args.data, &url, config.as_deref(), &usual, serving.unfinished());
    let stop = async move {
        interrupt.wait().await;
        // Nobody new should come.
        drop(announced);
        output::say("stopping; what is not done is done by the next start");
        tokio::spawn(async move {
            interrupt.wait().await;
            output::say("stopped at once; nothing that was recorded is lost");
            std::process::exit(i32::from(Exit::Interrupted.code()));
        });
    };
    serving.keep_schedules().await;
    serving.keep_tidy();
    serving.serve(stop).await?;
    Ok(Exit::Ok)
}

fn greet(data: &Path, url: &str, config: Option<&Path>, usual: &Path, unfinished: u64) {
    output::say(&format!("data in `{}`", data.display()));
    match config {
        Some(file) => output::say(&format!("configuration from `{}`", file.display())),
        None => {
            output::say(&format!("no configuration; it would be read from `{}`", usual.display()))
        }
    }
    if unfinished > 0 {
        let runs = if unfinished == 1 { "run" } else { "runs" };
        output::say(&format!("resuming {unfinished} unfinished {runs}"));
    }
    // Where no other command would look for it by itself.
    let is_usual = url.ends_with(&format!(":{}", address::PORT));
    if data != Path::new(address::DATA) && !is_usual {
        output::say(&format!(
            "other commands find it with `--server {url}`, or `export ISONOMY_SERVER={url}`"
        ));
    }
}

fn log(filter: &str) -> Outcome<()> {
    let filter = EnvFilter::try_new(filter).map_err(|cause| {
        Failure::usage(format!("`--log {filter}` is not a filter: {cause}")).hint(
            "write a level such as `info`, or levels by room such as `warn,isonomy_engine=debug`",
        )
    })?;
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(false);
    log.try_init().map_err(|cause| Failure::internal(format!("cannot start the log: {cause}")))
}
