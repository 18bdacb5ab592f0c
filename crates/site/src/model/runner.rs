//! What runs the models whose files the site has: the processes of `sandbox`, asked in the words of the
//! Open Inference Protocol.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base::{Clock, Digest, Namespace, Random};
use bytes::Bytes;
use futures::future::BoxFuture;
use gateway::desk::{ANSWER_BYTES_MAX, NotRun, Ran, Runner, Spoke, Tensors, Words};
use inference::Tensor;
use inference::protocol::{self, ProtocolError, Request, Wants, Written};
use models::{Model, ModelName, Source};
use sandbox::{Inferred, Loaded, ModelError, ModelFile, Models, ModelsConfig, Share};
use store::Store;
use tokio::task::spawn_blocking;

/// A larger request is read on a thread that may take its time: more than some hundred microseconds.
const AT_ONCE_BYTES_MAX: usize = 64 * 1024;

/// The same for an answer; a number has some ten bytes.
const AT_ONCE_ELEMENTS_MAX: usize = 8 * 1024;

#[derive(Clone)]
pub(crate) struct Processes {
    pub(super) models: Models,
    store: Arc<dyn Store>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) random: Arc<dyn Random>,
    /// What each one was added as.
    known: Arc<Mutex<BTreeMap<String, (Digest, Share)>>>,
}

/// A blob of the store.
struct Blob {
    store: Arc<dyn Store>,
    digest: Digest,
    bytes: u64,
}

impl ModelFile for Blob {
    fn bytes(&self) -> BoxFuture<'_, io::Result<u64>> {
        Box::pin(std::future::ready(Ok(self.bytes)))
    }

    fn read(&self) -> BoxFuture<'_, io::Result<Bytes>> {
        Box::pin(async {
            let found = self.store.blob_get(self.digest).await.map_err(io::Error::other)?;
            found.ok_or_else(|| io::ErrorKind::NotFound.into())
        })
    }
}

impl Processes {
    /// Starts nothing yet.
    pub(crate) fn new(
        config: ModelsConfig,
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Self {
        Self { models: Models::new(config), store, clock, random, known: Arc::default() }
    }

    /// These are there from now on, and no others. `bytes` says how large the file of each is.
    pub(super) fn put<'m>(&self, models: impl Iterator<Item = (&'m Model, u64)>) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mut before = std::mem::take(&mut *known);
        for (model, bytes) in models {
            let Source::Artifact(artifact) = &model.spec.source else { continue };
            let name = name(&model.namespace, &model.name);
            let limits = &model.spec.limits;
            let share = Share { processes: limits.processes(), queue: limits.queue() };
            let is = (artifact.digest, share);
            if before.remove(&name) != Some(is) {
                let file = Blob { store: Arc::clone(&self.store), digest: artifact.digest, bytes };
                if let Err(error) = self.models.add(&name, file, share) {
                    // It stays unknown, and its calls say so.
                    tracing::error!(model = name, %error, "a model cannot be run");
                    continue;
                }
            }
            known.insert(name, is);
        }
        for gone in before.into_keys() {
            self.models.remove(&gone);
        }
    }

    /// Loads a file once, in a process of its own, to see what it is.
    pub(super) async fn look(&self, file: Bytes) -> Result<Loaded, ModelError> {
        // No model has such a name.
        let name = format!("?{}", Digest::of(&file));
        self.models.add(&name, file, Share { processes: 1, queue: 1 })?;
        let loaded = self.models.load(&name).await;
        self.models.remove(&name);
        loaded
    }

    pub(super) fn count(&self, namespace: &Namespace, model: &ModelName) -> usize {
        self.models.processes(&name(namespace, model))
    }

    async fn ask(&self, model: &Model, ask: Tensors, deadline: Duration) -> Ran {
        let refused = |why: String| Ran { busy: Duration::ZERO, end: Err(NotRun::Refused(why)) };
        let (inputs, wants) = match read(ask).await {
            Ok(request) => request.apart(),
            Err(error) => return refused(error.to_string()),
        };
        let name = name(&model.namespace, &model.name);
        let Inferred { busy, outputs } = self.models.infer(&name, &inputs, deadline).await;
        let end = match outputs {
            Ok(outputs) => write(wants, model.name.clone(), outputs).await,
            Err(error) => Err(not_run(error)),
        };
        Ran { busy, end }
    }
}

impl Runner for Processes {
    fn run(&self, model: &Model, ask: Tensors, deadline: Duration) -> BoxFuture<'_, Ran> {
        let model = model.clone();
        Box::pin(async move { self.ask(&model, ask, deadline).await })
    }

    fn speak(&self, model: &Model, ask: Words, deadline: Duration) -> BoxFuture<'_, Spoke> {
        let model = model.clone();
        Box::pin(async move { self.spoken(&model, ask, deadline).await })
    }
}

/// A namespace has no slash in it.
pub(super) fn name(namespace: &Namespace, model: &ModelName) -> String {
    format!("{namespace}/{model}")
}

async fn read(ask: Tensors) -> Result<Request, ProtocolError> {
    let Tensors { body, head } = ask;
    if body.len() <= AT_ONCE_BYTES_MAX {
        return Request::read(&body, head);
    }
    let read = spawn_blocking(move || Request::read(&body, head)).await;
    read.expect("reading does not panic, and is not stopped")
}

async fn write(wants: Wants, model: ModelName, outputs: Vec<Tensor>) -> Result<Tensors, NotRun> {
    let elements: usize = outputs.iter().map(|it| it.values.data().len()).sum();
    let write = move || protocol::write(&wants, model.split(), &outputs);
    let written = if elements <= AT_ONCE_ELEMENTS_MAX {
        write()
    } else {
        spawn_blocking(write).await.expect("writing does not panic, and is not stopped")
    };
    let Written { body, head } = written.map_err(|error| NotRun::Refused(error.to_string()))?;
    if body.len() > ANSWER_BYTES_MAX {
        return Err(NotRun::TooLarge);
    }
    Ok(Tensors { body: body.into(), head })
}

pub(super) fn not_run(error: ModelError) -> NotRun {
    match error {
        ModelError::Refused(why) => NotRun::Refused(why),
        ModelError::TooLarge => NotRun::TooLarge,
        ModelError::Overloaded(_) => NotRun::Busy,
        ModelError::Memory { .. } => NotRun::Memory,
        ModelError::Deadline { .. } => NotRun::Silent,
        ModelError::Died(_) => NotRun::Died,
        ModelError::Failed { why, .. } => NotRun::Failed(why),
        ModelError::Resting { after, .. } => NotRun::Resting(after),
        other @ (ModelError::Unknown(_)
        | ModelError::TooMany
        | ModelError::NoModel(_)
        | ModelError::File { .. }
        | ModelError::Unavailable(_)) => NotRun::Unavailable(other.to_string()),
    }
}
