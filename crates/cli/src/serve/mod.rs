//! What serves in this process: a site, or a hub. Store, port, and a clean end.

mod hub;
mod site;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use tokio::net::TcpListener;
use tracing_subscriber::EnvFilter;

use crate::address::Announced;
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::interrupt::Interrupt;
use crate::output;

pub use hub::HubServing;
pub use site::{IDENTITY, Serving, read};

/// Tells other commands and whoever reads stdout where it is.
pub fn announce(data: &Path, url: &str) -> Outcome<Announced> {
    let announced = Announced::write(data, url).map_err(|cause| {
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
        Failure::usage(format!("`--log {filter}` is not a filter: {cause}")).hint(
            "write a level such as `info`, or levels by room such as `warn,isonomy_engine=debug`",
        )
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
