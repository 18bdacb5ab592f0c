//! Datasets: what the site shows of them, and what its hub is told.
//!
//! Which there are is in the configuration; reading them is in `worker`.

use std::sync::Arc;
use std::time::Duration;

use base::{DatasetName, Namespace, Timestamp};
use server::Roles;
use tokio::sync::watch;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use wire::link::Dataset as Told;
use wire::{DatasetState, DatasetView, EVERYWHERE, Page, Role};
use worker::datasets::Readers;
use worker::{Dataset, Datasets, Look};

/// Between two looks at how old files are, for the hub's sake: it shows days and hours.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// How long the first look may take: a disk that hangs must not keep back what else there is to tell.
const FIRST_LOOK_TIMEOUT: Duration = Duration::from_secs(2);

/// Those that a namespace may read, by name.
pub(crate) async fn list(
    datasets: Datasets,
    namespace: &Namespace,
    roles: &Roles,
    after: Option<DatasetName>,
    limit: u32,
) -> Page<DatasetView> {
    let is_behind = |name: &DatasetName| after.as_ref().is_none_or(|after| name > after);
    let mut found: Vec<Arc<Dataset>> =
        datasets.of(namespace).filter(|it| is_behind(&it.name)).cloned().collect();
    let has_more = found.len() > limit as usize;
    found.truncate(limit as usize);
    let next = found.last().filter(|_| has_more).map(|last| last.name.to_string());
    let looked = {
        let found = found.clone();
        spawn_blocking(move || found.iter().map(|it| it.look()).collect::<Vec<_>>()).await
    };
    // A look that breaks off shows nothing, and so does not say that something is there.
    let looks = looked.unwrap_or_default();
    let items = found.iter().zip(looks).map(|(it, look)| view(it, look, roles)).collect();
    Page { items, next }
}

fn view(dataset: &Dataset, look: Look, roles: &Roles) -> DatasetView {
    let namespaces = match &dataset.readers {
        Readers::All => vec![EVERYWHERE.to_owned()],
        Readers::These(these) => {
            let shown = these.iter().filter(|it| roles.need(Role::Viewer, it).is_ok());
            shown.map(ToString::to_string).collect()
        }
    };
    let (state, why, modified_at, bytes) = match look {
        Look::There { modified_at, bytes } => (DatasetState::There, None, modified_at, Some(bytes)),
        Look::Not { why } => (DatasetState::Missing, Some(why), None, None),
        Look::Elsewhere => (DatasetState::Remote, None, None, None),
    };
    DatasetView {
        dataset: dataset.name.to_string(),
        format: dataset.format.name().to_owned(),
        labels: dataset.labels.iter().map(ToString::to_string).collect(),
        owner: dataset.owner.clone(),
        namespaces,
        state,
        why,
        modified_at: modified_at.map(|at| at.to_string()),
        bytes,
        is_told: dataset.is_told,
    }
}

/// Looks now and then how old the datasets are of which the hub is told.
pub(crate) struct Watching {
    datasets: Vec<Arc<Dataset>>,
    looking: Option<JoinHandle<Vec<Told>>>,
    told: watch::Sender<Vec<Told>>,
}

impl Watching {
    /// Looks for the first time. Where that takes too long, what is told first has no times.
    pub(crate) async fn begin(datasets: Datasets) -> (Self, watch::Receiver<Vec<Told>>) {
        let datasets: Vec<_> = datasets.all().filter(|it| it.is_told).cloned().collect();
        let untimed = || datasets.iter().map(|it| told(it, None)).collect();
        let mut looking = (!datasets.is_empty()).then(|| look(&datasets));
        let first = match &mut looking {
            Some(look) => timeout(FIRST_LOOK_TIMEOUT, look).await,
            None => Ok(Ok(Vec::new())),
        };
        let first = match first {
            Ok(looked) => {
                looking = None;
                looked.unwrap_or_else(|_| untimed())
            }
            Err(_) => untimed(),
        };
        let (sender, receiver) = watch::channel(first);
        (Self { datasets, looking, told: sender }, receiver)
    }

    /// Until `closing`, where there is anything to look at.
    pub(crate) async fn run(mut self, closing: CancellationToken) {
        while !self.datasets.is_empty() {
            // One look at a time, however long it takes: each may keep a thread.
            if let Some(looking) = &mut self.looking {
                tokio::select! {
                    () = closing.cancelled() => return,
                    looked = looking => match looked {
                        Ok(now) => { self.told.send_if_modified(|told| {
                            let is_new = *told != now;
                            *told = now;
                            is_new
                        }); }
                        Err(error) => tracing::error!(%error, "the look at datasets broke off"),
                    },
                }
            }
            tokio::select! {
                () = closing.cancelled() => return,
                () = sleep(LOOK_EVERY) => {}
            }
            self.looking = Some(look(&self.datasets));
        }
    }
}

fn look(datasets: &[Arc<Dataset>]) -> JoinHandle<Vec<Told>> {
    let datasets = datasets.to_vec();
    spawn_blocking(move || {
        let modified_at = |it: &Dataset| match it.look() {
            Look::There { modified_at, .. } => modified_at,
            Look::Not { .. } | Look::Elsewhere => None,
        };
        datasets.iter().map(|it| told(it, modified_at(it))).collect()
    })
}

/// All that leaves the site about it.
fn told(dataset: &Dataset, modified_at: Option<Timestamp>) -> Told {
    Told { name: dataset.name.clone(), labels: dataset.labels.clone(), modified_at }
}

#[cfg(test)]
mod tests {
    use worker::datasets::{Format, Place, Source};

    use super::*;

    fn dataset(folder: &std::path::Path, name: &str, is_told: bool) -> Dataset {
        let place = Place { folder: folder.to_owned(), rest: format!("{name}.jsonl").into() };
        Dataset {
            name: DatasetName::parse(name).expect("a name"),
            source: Source::File(place),
            format: Format::Jsonl,
            labels: Vec::new(),
            owner: Some("ward 3".to_owned()),
            readers: Readers::All,
            row: None,
            is_told,
        }
    }

    /// Mutation: look only at the start, tell again what is as it was, or tell what the owner keeps back.
    #[tokio::test(start_paused = true)]
    async fn the_hub_is_told_when_a_file_has_changed_and_only_then() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("a.jsonl");
        let set = |seconds: u64| {
            let file = std::fs::File::create(&path).expect("a file");
            let at = std::time::UNIX_EPOCH + Duration::from_secs(seconds);
            file.set_modified(at).expect("set");
        };
        let list = vec![dataset(dir.path(), "a", true), dataset(dir.path(), "b", false)];
        let all = Datasets::new(list).expect("two names");
        let (watching, mut told) = Watching::begin(all).await;
        let closing = CancellationToken::new();
        let run = tokio::spawn(watching.run(closing.clone()));
        let said = |told: &[Told]| -> Vec<_> {
            told.iter().map(|it| (it.name.to_string(), it.modified_at)).collect()
        };
        assert_eq!(said(&told.borrow_and_update()), [("a".to_owned(), None)]);
        for seconds in [1_700_000_000, 1_800_000_000] {
            set(seconds);
            told.changed().await.expect("it is watched");
            let at = Timestamp::from_millis(i64::try_from(seconds * 1000).expect("a time"));
            assert_eq!(said(&told.borrow_and_update()), [("a".to_owned(), Some(at))]);
        }
        let quiet = timeout(LOOK_EVERY * 10, told.changed()).await;
        assert!(quiet.is_err(), "nothing has changed");
        closing.cancel();
        run.await.expect("it ends");
    }
}
