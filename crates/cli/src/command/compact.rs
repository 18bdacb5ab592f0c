//! `isonomy store compact`: makes the store small at once, in place of little by little. A site that
//! serves from the folder does it beside its work; a folder that nobody uses is opened here.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base::SystemClock;
use site::Tidying;
use spec::Keep;
use store::Store;
use store_sqlite::{DATABASE_FILE, OpenOptions, SqliteStore};
use wire::StoreCompacted;

use super::dev::CONFIG_FILE;
use crate::address::{Address, Chosen, Whom};
use crate::api::Api;
use crate::args::Global;
use crate::args::store::StoreCompact;
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::output;
use crate::serve;

/// One part of the work on a folder, between two of which nothing is said. A site takes its own.
const PART: Duration = Duration::from_secs(5);

pub async fn compact(global: &Global, args: StoreCompact) -> Outcome {
    let served = match &global.chosen {
        Chosen::Server(server) => Some(Address::parse(server, Some(Whom::Site))),
        // The folder is what is meant, whoever else one talks to.
        Chosen::Context(_) | Chosen::Nothing => Address::of_folder(&args.data),
    };
    let is_named = matches!(global.chosen, Chosen::Server(_));
    let done = match served {
        Some(address) => {
            let api = Api::new(address, global.namespace.clone())?;
            match all(async || api.store_compact().await).await {
                // A site that was killed leaves its address behind.
                Err(failure) if failure.exit == Exit::Unreachable && !is_named => {
                    in_folder(&args).await?
                }
                done => done?,
            }
        }
        None => in_folder(&args).await?,
    };
    output::show(args.output.output, &done, || text(&done))?;
    Ok(Exit::Ok)
}

async fn in_folder(args: &StoreCompact) -> Outcome<StoreCompacted> {
    let data: &Path = &args.data;
    if !data.join(DATABASE_FILE).is_file() {
        let what = format!("there is no store in `{}`", data.display());
        return Err(Failure::usage(what)
            .hint("name its folder with `--data DIR`, or its site with `--server URL`"));
    }
    let usual = data.join(CONFIG_FILE);
    let file = args.config.clone().or_else(|| usual.is_file().then_some(usual));
    let mut config = serve::read(file.as_deref())?;
    if file.is_none() {
        // The site may have had one that keeps them longer than is usual.
        config.keep = Keep::Forever;
        output::say("no configuration is named, so only runs whose workflow says so are forgotten");
    }
    let failed = |error: String| Failure::internal(error);
    let store = SqliteStore::open(data, OpenOptions::default());
    let store = Arc::new(store.map_err(|error| failed(error.to_string()))?);
    let shared = Arc::clone(&store) as Arc<dyn Store>;
    let tidying = Tidying::new(shared, &config, Arc::new(SystemClock));
    let done = all(async || {
        let done = tidying.tidy(PART, None).await.map_err(|error| failed(error.to_string()))?;
        Ok(done.into())
    })
    .await;
    store.close().await;
    done
}

/// Asks until all is done.
async fn all(mut ask: impl AsyncFnMut() -> Outcome<StoreCompacted>) -> Outcome<StoreCompacted> {
    let mut done = StoreCompacted::default();
    loop {
        let part = ask().await?;
        done.runs_forgotten += part.runs_forgotten;
        done.records_forgotten += part.records_forgotten;
        done.bytes_given_back += part.bytes_given_back;
        done.bytes_free = part.bytes_free;
        if !part.more {
            return Ok(done);
        }
        output::say(&format!(
            "so far {} runs and {} records forgotten",
            done.runs_forgotten, done.records_forgotten
        ));
    }
}

fn text(done: &StoreCompacted) -> String {
    format!(
        "forgot {} runs and {} old records of long runs; gave {} back to the disk, {} are free in the store",
        done.runs_forgotten,
        done.records_forgotten,
        size(done.bytes_given_back),
        size(done.bytes_free)
    )
}

fn size(bytes: u64) -> String {
    const MIB: u64 = 1024 * 1024;
    match bytes {
        0..1024 => format!("{bytes} bytes"),
        1024..MIB => format!("{} KiB", bytes / 1024),
        _ => format!("{:.1} MiB", bytes as f64 / MIB as f64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mutation: add up what is free, or forget what an earlier part has done.
    #[tokio::test]
    async fn the_parts_are_added_up() {
        let mut parts = vec![(2, 10, 0, 5), (1, 0, 2_097_152, 7)];
        let done = all(async || {
            let (runs_forgotten, records_forgotten, bytes_given_back, bytes_free) = parts.remove(0);
            let more = !parts.is_empty();
            Ok(StoreCompacted {
                runs_forgotten,
                records_forgotten,
                bytes_given_back,
                bytes_free,
                more,
            })
        });
        let told = text(&done.await.expect("all parts are there"));
        assert_eq!(
            told,
            "forgot 3 runs and 10 old records of long runs; gave 2.0 MiB back to the disk, 7 bytes are free in the store"
        );
    }
}
