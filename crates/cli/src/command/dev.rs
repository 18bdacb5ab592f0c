//! `isonomy dev` and `isonomy site serve`: a site that stays up until it is told to stop.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use base::{Clock as _, SiteName, SystemClock};
use hub::{HubFolder, HubFolderError};
use identity::Domain;

use crate::address;
use crate::args::DevArgs;
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::interrupt::Interrupt;
use crate::output;
use crate::serve::fleet::Beside;
use crate::serve::{self, HubServing, Serving};

pub use crate::serve::fleet::CONFIG_FILE;

/// What the fleet of a developer's machine is called.
const DEV_DOMAIN: &str = "dev";

pub async fn dev(args: DevArgs) -> Outcome {
    serve::log(&args.log)?;
    if let Some(count) = args.sites {
        return fleet(args, count).await;
    }
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

/// A hub and some sites that have joined it, in this process.
async fn fleet(args: DevArgs, count: u8) -> Outcome {
    let interrupt = Interrupt::any()?;
    let hub = Path::new(address::HUB_DATA);
    let domain = Domain::parse(DEV_DOMAIN).expect("a name");
    match HubFolder::init(hub, domain, SystemClock.now()) {
        Ok(_) | Err(HubFolderError::Exists(_)) => {}
        Err(error) => return Err(Failure::internal(error.to_string())),
    }
    let sites = args.listen.unwrap_or(SocketAddr::from((Ipv4Addr::LOCALHOST, address::SITES_PORT)));
    let port = if args.port == address::PORT { address::HUB_PORT } else { args.port };
    let serving = HubServing::open(hub, sites, Vec::new(), port, &args.api).await?;
    let announced = serve::announce(hub, serving.url(), serving.own_key())?;
    let beside = (1..=count).map(|n| {
        let name = SiteName::parse(&format!("site-{n}")).expect("a name");
        Beside { data: args.data.join(name.as_str()), name }
    });
    serve::fleet::serve(serving, beside.collect(), serve::stop(interrupt, announced)).await?;
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
