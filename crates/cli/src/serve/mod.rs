//! What serves in this process: a site, or a hub. Store, port, and a clean end.

pub mod fleet;
mod folder;
mod hub;
mod site;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use identity::pair_files;
use server::{Listening, Shown};
use tokio::net::TcpListener;
use tracing_subscriber::EnvFilter;
use wire::ApiKey;

use crate::address::Announced;
use crate::args::ApiArgs;
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::interrupt::Interrupt;
use crate::output;

pub use folder::{refuse_hub, refuse_site};
pub use hub::{HubServing, first_key};
pub use site::{IDENTITY, Serving, read};

/// Tells other commands and whoever reads stdout where it is.
pub fn announce(data: &Path, url: &str, key: &ApiKey) -> Outcome<Announced> {
    let announced = Announced::write(data, url, key).map_err(|cause| {
        Failure::internal(format!("cannot write the address into `{}`: {cause}", data.display()))
    })?;
    output::write(&format!("listening on {url}"))?;
    Ok(announced)
}

/// Until somebody wants it to stop. A second wish does not wait.
pub async fn stop(mut interrupt: Interrupt, announced: Announced) {
    interrupt.wait().await;
    // Nobody new should come.
    drop(announced);
    output::say("stopping; what is not done is done by the next start");
    tokio::spawn(async move {
        interrupt.wait().await;
        output::say("stopped at once; nothing that was recorded is lost");
        std::process::exit(i32::from(Exit::Interrupted.code()));
    });
}

/// Logs on stderr from now on.
pub fn log(filter: &str) -> Outcome<()> {
    let filter = EnvFilter::try_new(filter).map_err(|cause| {
        Failure::usage(format!("`--log {filter}` is not a filter: {cause}"))
            .hint("write a level such as `info`, or levels by room such as `warn,engine=debug`")
    })?;
    let log =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_ansi(false);
    log.try_init().map_err(|cause| Failure::internal(format!("cannot start the log: {cause}")))
}

/// A port on this machine for an API. `command` is what takes another one.
async fn listen(port: u16, command: &str) -> Outcome<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.map_err(|cause| {
        let failure = Failure::internal(format!("cannot listen on 127.0.0.1:{port}: {cause}"));
        match cause.kind() {
            io::ErrorKind::AddrInUse => failure.hint(format!(
                "is another `{command}` running? stop it, or take another port with `--port N`; `--port 0` takes any free one"
            )),
            _ => failure.hint("take another port with `--port N`"),
        }
    })?;
    let address = listener.local_addr().map_err(|cause| {
        Failure::internal(format!("cannot tell which port is listened on: {cause}"))
    })?;
    Ok((listener, address))
}

/// Where the API is asked beyond this machine, and with which certificate. `own` is what is shown where
/// no other one is named.
async fn listen_afar(
    args: &ApiArgs,
    own: impl FnOnce() -> Outcome<Shown>,
) -> Outcome<Option<(Listening, SocketAddr)>> {
    let Some(wanted) = args.api else { return Ok(None) };
    let tls = match (&args.tls_cert, &args.tls_key) {
        (Some(certificate), Some(key)) => {
            let shown = pair_files(certificate.clone(), key.clone());
            Arc::new(shown.map_err(|error| Failure::usage(error.to_string()))?)
        }
        _ => own()?,
    };
    let failed = |cause: io::Error| {
        Failure::internal(format!("cannot listen on {wanted} for the API: {cause}")).hint(
            match cause.kind() {
                io::ErrorKind::AddrInUse => {
                    "take another port with `--api ADDRESS:PORT`: that of `--port` is for this machine alone, without TLS"
                }
                _ => "take another address with `--api ADDRESS:PORT`",
            },
        )
    };
    let listener = TcpListener::bind(wanted).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok(Some((Listening { listener, tls: Some(tls) }, address)))
}

/// The door on this machine, and the other one where there is one.
fn doors(local: TcpListener, afar: Option<Listening>) -> Vec<Listening> {
    let local = Listening { listener: local, tls: None };
    [Some(local), afar].into_iter().flatten().collect()
}

fn internal(error: &dyn std::error::Error) -> Failure {
    Failure::internal(with_causes(error))
}

/// The error and what is below it, since a message does not repeat its cause.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(below) = cause {
        text.push_str(": ");
        text.push_str(&below.to_string());
        cause = below.source();
    }
    output::harmless(&text)
}
