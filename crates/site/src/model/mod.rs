//! Models at this site: which there are, who may call them, what calls cost, and what is written down of
//! them. How a call is made is the desk's, in `gateway` (ADR 18).

mod alarm;
mod artifact;
mod book;
pub(crate) mod budget;
pub(crate) mod calls;
mod correction;
mod door;
mod fetch;
mod file;
pub(crate) mod focus;
mod inbox;
pub(crate) mod lease;
pub(crate) mod local_share;
mod names;
pub(crate) mod price;
mod purse_row;
pub(crate) mod report;
mod retention;
mod runner;
mod secret;
mod shelf;
mod speech;
mod tail;
pub(crate) mod telemetry;
mod tensors;
pub(crate) mod usage;
mod view;
mod watch;

use std::path::PathBuf;
use std::sync::Arc;

use base::{Clock, Random};
use engine::driver::Driver;
use engine::secret::Secrets;
use gateway::desk::DeskParts;
use gateway::watch::WatchesParts;
use gateway::{Desk, Gate, Watches};
use models::Books;
use pricing::Catalogue;
use server::Keys;
use store::Store;
use worker::Datasets;

pub use book::BookError;
pub(crate) use door::ModelDoor;
pub(crate) use retention::ForgetError;
pub(crate) use shelf::Models;

use crate::config::ModelsConfig;
use book::Book;
use inbox::Inbox;
use names::Guarding;
use runner::Processes;
use secret::SecretsOfModels;
use shelf::Doors;
use telemetry::{Collector, Exporter, ExporterParts};

/// What models are put together from.
pub(crate) struct ModelParts {
    pub gate: Arc<Gate>,
    pub store: Arc<dyn Store>,
    pub clock: Arc<dyn Clock>,
    pub random: Arc<dyn Random>,
    pub secrets: Arc<dyn Secrets>,
    pub keys: Keys,
    pub config: ModelsConfig,
    /// Where spans of calls go; nowhere, where the owner says nothing.
    pub collector: Option<Collector>,
    /// What the site is called.
    pub site: String,
    /// This binary itself, as a file: processes of models are started from it.
    pub program: PathBuf,
    /// Where names are read that models must not see.
    pub datasets: Datasets,
    /// The folder of the tail.
    pub tail: Option<PathBuf>,
}

/// Takes up what there is: definitions, budgets, and the record of calls.
pub(crate) async fn open(parts: ModelParts) -> Result<Models, BookError> {
    let ModelParts { gate, store, clock, random, secrets, keys, config, program, datasets, .. } =
        parts;
    let ModelParts { collector, site, tail, .. } = parts;
    let guarding = Guarding::new(config.protect, config.here, datasets);
    let budget_bytes = config.memory_bytes;
    let run = sandbox::ModelsConfig { budget_bytes, ..sandbox::ModelsConfig::new(program) };
    let processes =
        Processes::new(run, Arc::clone(&store), Arc::clone(&clock), Arc::clone(&random));
    let book = Book::open(Arc::clone(&store), Arc::clone(&clock), tail.as_deref()).await?;
    let exporter = collector.map(|collector| {
        let (gate, secrets) = (Arc::clone(&gate), Arc::clone(&secrets));
        Exporter::new(ExporterParts { collector, site, gate, secrets, book: book.clone() })
    });
    let inbox = Inbox::open(Arc::clone(&store), Arc::clone(&clock)).await?;
    let shipped = || Catalogue::shipped().expect("the shipped prices are read: tested");
    let catalogue = Arc::new(config.catalogue.unwrap_or_else(shipped));
    let (digest_key, key_unwritten) = watch::digest_key(store.as_ref(), random.as_ref()).await?;
    let watches = Watches::new(WatchesParts {
        gate: Arc::clone(&gate),
        record: Arc::new(book.clone()),
        clock: Arc::clone(&clock),
        random: Arc::clone(&random),
        catalogue: Arc::clone(&catalogue),
        digest_key: digest_key.clone(),
    });
    let desk = Desk::new(DeskParts {
        gate,
        books: Books::default(),
        exchange: config.exchange,
        record: Arc::new(book.clone()),
        credentials: Arc::new(SecretsOfModels(secrets)),
        runner: Arc::new(processes.clone()),
        people: Arc::new(inbox.clone()),
        clock: Arc::clone(&clock),
        random,
        digest_key,
    });
    let doors = Doors { desk, watches, catalogue, key_unwritten };
    let models = Models::open(doors, processes, guarding, book, inbox, clock, &keys).await?;
    if let Some(exporter) = exporter {
        models.export(exporter);
    }
    Ok(models)
}

/// What calls of runs hold that the life before has not ended, they hold until their runs do: from now on, and
/// for those that have ended already.
pub(crate) async fn follow_runs(
    models: &Models,
    driver: &Driver,
    store: &dyn Store,
) -> Result<(), BookError> {
    let desk = models.desk();
    models.book().on_events(driver.event_raiser());
    let told = desk.clone();
    driver.on_end(move |run| told.run_ended(run));
    for run in desk.runs_left() {
        if store.run_get(run).await?.is_none_or(|row| row.state.has_ended()) {
            desk.run_ended(run);
        }
    }
    Ok(())
}
