//! `isonomy dev` and `isonomy site serve`: a site that stays up until it is told to stop.

use std::path::Path;

use crate::address;
use crate::args::DevArgs;
use crate::exit::Exit;
use crate::failure::Outcome;
use crate::interrupt::Interrupt;
use crate::output;
use crate::serve::{self, Serving};

/// In the data folder: the configuration that is read where none is named.
pub const CONFIG_FILE: &str = "site.yaml";

pub async fn dev(args: DevArgs) -> Outcome {
    serve::log(&args.log)?;
    // Listened to before anything is open, so that a signal never finds it half open.
    let interrupt = Interrupt::any()?;
    let usual = args.data.join(CONFIG_FILE);
    let config = args.config.or_else(|| usual.is_file().then(|| usual.clone()));
    let serving = Serving::open(&args.data, config.as_deref(), args.port, &args.api).await?;
    let url = serving.url();
    let announced = serve::announce(&args.data, &url, serving.own_key())?;
    greet(&args.data, config.as_deref(), &usual, &serving);
    serving.keep_schedules().await;
    serving.keep_tidy();
    serving.hold_line().await;
    serving.serve(serve::stop(interrupt, announced)).await?;
    Ok(Exit::Ok)
}

fn greet(data: &Path, config: Option<&Path>, usual: &Path, serving: &Serving) {
    output::say(&format!("data in `{}`", data.display()));
    match config {
        Some(file) => output::say(&format!("configuration from `{}`", file.display())),
        None => {
            output::say(&format!("no configuration; it would be read from `{}`", usual.display()))
        }
    }
    if let Some(site) = serving.joined() {
        output::say(&format!(
            "this is the site {site}; `isonomy site status` shows its line to the hub"
        ));
    }
    let unfinished = serving.unfinished();
    if unfinished > 0 {
        let runs = if unfinished == 1 { "run" } else { "runs" };
        output::say(&format!("resuming {unfinished} unfinished {runs}"));
    }
    if let Some(afar) = serving.afar() {
        output::say(&format!(
            "people elsewhere ask at port {0} over TLS: `isonomy context add NAME --server https://HOST:{0} --key FILE`",
            afar.port()
        ));
    }
    // Where no other command would look for it by itself.
    if data != Path::new(address::DATA) {
        let data = data.display();
        output::say(&format!(
            "other commands find it with `--server {data}`, or `export ISONOMY_SERVER={data}`"
        ));
    }
}
