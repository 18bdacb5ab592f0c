//! A hub and sites of it in one process: the same parts as in many, over the same line.

use std::path::PathBuf;

use base::{Clock as _, SiteName, SystemClock, SystemRandom};
use site::uplink::Membership;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::{HubServing, IDENTITY, Serving, with_causes};
use crate::address::Announced;
use crate::args::ApiArgs;
use crate::failure::{Failure, Outcome};
use crate::output;

/// In the data folder: the configuration that is read where none is named.
pub const CONFIG_FILE: &str = "site.yaml";

/// A site that is kept beside its hub.
#[derive(Debug, Clone)]
pub struct Beside {
    pub name: SiteName,
    pub data: PathBuf,
}

/// Serves all of them until `stop`. A site that has not joined yet does so first.
pub async fn serve(
    hub: HubServing,
    sites: Vec<Beside>,
    stop: impl Future<Output = ()>,
) -> Outcome<()> {
    let desk = hub.hub();
    let (stopping, stopped) = watch::channel(false);
    let until = |mut stopped: watch::Receiver<bool>| async move {
        // An end without a word is one too.
        let _ = stopped.wait_for(|stopped| *stopped).await;
    };
    let mut serving = JoinSet::new();
    serving.spawn(hub.serve(until(stopped.clone())));
    let open = async {
        let mut announced = Vec::new();
        for Beside { name, data } in sites {
            join(&desk, &name, &data.join(IDENTITY)).await?;
            let config = Some(data.join(CONFIG_FILE)).filter(|file| file.is_file());
            let site = Serving::open(&data, config.as_deref(), 0, &ApiArgs::default()).await?;
            announced.push(Announced::write(&data, &site.url(), site.own_key()).map_err(
                |cause| {
                    let what =
                        format!("cannot write the address into `{}`: {cause}", data.display());
                    Failure::internal(what)
                },
            )?);
            output::say(&format!("{name} is there: `--server {}`", data.display()));
            site.keep_schedules().await;
            site.keep_tidy();
            site.hold_line().await;
            serving.spawn(site.serve(until(stopped.clone())));
        }
        Ok(announced)
    };
    let opened = open.await;
    if opened.is_ok() {
        tokio::select! {
            () = stop => {}
            // One that ends by itself ends all: whoever has started them sees why.
            ended = serving.join_next() => drop(ended.map(|ended| tell(ended.unwrap_or(Ok(()))))),
        }
    }
    stopping.send_replace(true);
    let mut result = opened.map(drop);
    while let Some(ended) = serving.join_next().await {
        let ended = ended.map_err(|cause| Failure::internal(cause.to_string())).flatten();
        result = result.and(ended);
    }
    result
}

fn tell(ended: Outcome<()>) {
    if let Err(failure) = ended {
        output::say(&failure.render());
    }
}

async fn join(hub: &hub::Hub, name: &SiteName, folder: &std::path::Path) -> Outcome<()> {
    let there = Membership::open(folder);
    if there.map_err(|error| Failure::usage(with_causes(&error)))?.is_some() {
        return Ok(());
    }
    let order = hub::TokenOrder {
        site: name.clone(),
        tags: Default::default(),
        life: base::Duration::from_secs(600),
        replace: false,
        by: base::By { actor: "serve".to_owned(), reason: None },
        hubs: Vec::new(),
    };
    let token = hub.token_create(order).await;
    let token = token.map_err(|error| Failure::usage(with_causes(&error)))?;
    let joined = Membership::join(folder, &token, SystemClock.now(), &SystemRandom).await;
    joined.map_err(|error| Failure::internal(with_causes(&error)))?;
    Ok(())
}
