//! `isonomy version`: this program, and the site if one is there.

use serde::Serialize;
use wire::Version;

use super::api;
use crate::args::{Global, OutputArgs};
use crate::exit::Exit;
use crate::failure::Outcome;
use crate::output;

#[derive(Debug, Serialize)]
struct Versions {
    client: Client,
    /// Nothing where no site answers, or not to us, which is no error here.
    site: Option<Version>,
}

#[derive(Debug, Serialize)]
struct Client {
    name: &'static str,
    version: &'static str,
}

pub async fn version(global: &Global, args: OutputArgs) -> Outcome {
    let client = Client { name: "isonomy", version: env!("CARGO_PKG_VERSION") };
    let api = api(global)?;
    let site = match api.version().await {
        Ok(site) => Some(site),
        Err(failure) if matches!(failure.exit, Exit::Unreachable | Exit::Denied) => None,
        Err(failure) => return Err(failure),
    };
    let versions = Versions { client, site };
    output::show(args.output, &versions, || text(&versions, &api.address()))?;
    Ok(Exit::Ok)
}

fn text(versions: &Versions, address: &str) -> String {
    let Versions { client, site } = versions;
    let site = match site {
        Some(site) => {
            format!("{} at {address}, workflow language {}", site.version, site.dsl.join(", "))
        }
        None => format!("none at {address}"),
    };
    format!("{} {}\nsite: {site}", client.name, client.version)
}
