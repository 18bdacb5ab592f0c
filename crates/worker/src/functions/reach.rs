//! What a function may touch: what its manifest names, and nothing else.

use std::sync::Arc;

use base::{Clock, ErrorType, Fault, Random, Timestamp};
use engine::effect::Perform;
use gateway::decide::DENIED;
use gateway::{Answer, Code, Desk, Destinations, Gate, Incoming, OutError, OutRequest, Ruling};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::catalog::{Capabilities, FileAccess};
use crate::datasets::Datasets;
use crate::folders::Folders;
use crate::functions::dispatch::Sites;
use crate::worker::caller;

/// The outside, as all functions share it.
pub(crate) struct World {
    pub(crate) gate: Arc<Gate>,
    pub(crate) folders: Arc<Folders>,
    pub(crate) datasets: Datasets,
    pub(crate) files: Arc<Semaphore>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) random: Arc<dyn Random>,
    /// Nobody where the site has joined no hub.
    pub(crate) sites: Option<Arc<dyn Sites>>,
    pub(crate) models: Option<Desk>,
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("World(…)")
    }
}

/// The capabilities of a manifest, parsed.
#[derive(Debug, Clone)]
pub(crate) struct Granted {
    destinations: Destinations,
    may_read: bool,
    may_read_datasets: bool,
    may_dispatch: bool,
    may_ask_models: bool,
}

impl Granted {
    pub(crate) fn parse(
        capabilities: &Capabilities,
    ) -> Result<Self, gateway::egress::EgressMistake> {
        let destinations = capabilities.destinations.iter().map(String::as_str);
        Ok(Self {
            destinations: Destinations::parse(destinations)?,
            may_read: capabilities.files.contains(&FileAccess::Read),
            may_read_datasets: capabilities.datasets.contains(&FileAccess::Read),
            may_dispatch: capabilities.sites,
            may_ask_models: capabilities.models,
        })
    }

    /// Whether it hands its arguments to other sites.
    pub(crate) fn may_dispatch(&self) -> bool {
        self.may_dispatch
    }
}

/// What one call of a function may touch.
pub(crate) struct Reach {
    world: Arc<World>,
    granted: Arc<Granted>,
    effect: Perform,
}

impl Reach {
    pub(crate) fn new(world: Arc<World>, granted: Arc<Granted>, effect: Perform) -> Self {
        Self { world, granted, effect }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.world.clock.now()
    }

    pub(crate) fn random(&self) -> &dyn Random {
        &*self.world.random
    }

    /// The key under which a repetition is harmless, and the trace of the run.
    pub(crate) fn effect(&self) -> &Perform {
        &self.effect
    }

    /// The folders of the site's configuration; none where the manifest does not read files.
    pub(crate) fn folders(&self) -> Arc<Folders> {
        match self.granted.may_read {
            true => Arc::clone(&self.world.folders),
            false => Arc::default(),
        }
    }

    /// The datasets of the site's configuration; none where the manifest does not read them.
    pub(crate) fn datasets(&self) -> Datasets {
        if self.granted.may_read_datasets {
            self.world.datasets.clone()
        } else {
            Datasets::default()
        }
    }

    /// Who has other sites work; nobody where the manifest does not name them, or there is no hub.
    pub(crate) fn sites(&self) -> Option<Arc<dyn Sites>> {
        self.world.sites.clone().filter(|_| self.granted.may_dispatch)
    }

    /// Where models are asked; nowhere where the manifest does not name them.
    pub(crate) fn models(&self) -> Option<Desk> {
        self.world.models.clone().filter(|_| self.granted.may_ask_models)
    }

    /// A turn at reading a file: each keeps a thread busy and its rows in memory.
    pub(crate) async fn turn(&self) -> Option<OwnedSemaphorePermit> {
        // Never closed.
        Arc::clone(&self.world.files).acquire_owned().await.ok()
    }

    /// Sends a request where both the manifest and the site's egress map allow it. A redirect is not
    /// followed: it might lead out of the manifest.
    pub(crate) async fn request(&self, request: OutRequest) -> Result<Answer, Fault> {
        let request = self.within(request)?;
        Ok(self.world.gate.request(caller(&self.effect), request).await)
    }

    /// The same for an answer that is read as it comes.
    pub(crate) async fn open(
        &self,
        request: OutRequest,
    ) -> Result<(Result<Incoming<'_>, OutError>, Ruling), Fault> {
        let request = self.within(request)?;
        Ok(self.world.gate.open(caller(&self.effect), request).await)
    }

    fn within(&self, request: OutRequest) -> Result<OutRequest, Fault> {
        if self.granted.destinations.contain(request.destination()) {
            return Ok(request.with_redirects(false));
        }
        let detail = format!(
            "{}: the function's manifest does not name `{}`",
            Code::OutsideManifest,
            request.destination()
        );
        Err(Fault::new(ErrorType::Authorization, detail).with_title(DENIED))
    }
}

#[cfg(test)]
mod tests {
    use base::value::object;
    use base::{Namespace, RunId, SystemClock, SystemRandom};
    use engine::activation::{Activation, IdempotencyKey};
    use engine::effect::{Action, EffectNo};
    use futures::FutureExt;
    use futures::future::BoxFuture;
    use gateway::{EgressMap, EgressRule};

    use super::*;
    use crate::folders::Folder;
    use crate::functions::dispatch::{Ask, Done};

    struct Nowhere;

    impl Sites for Nowhere {
        fn dispatch(&self, _: Ask) -> BoxFuture<'static, Done> {
            futures::future::pending().boxed()
        }

        fn has_begun(&self, _: base::DispatchId) -> BoxFuture<'static, bool> {
            futures::future::ready(false).boxed()
        }
    }

    fn reach(folder: &std::path::Path, files: Vec<FileAccess>, destinations: &[&str]) -> Reach {
        let everything =
            EgressRule { destination: "http://*:*".into(), allow: true, ..EgressRule::default() };
        let gate = Gate::new(
            EgressMap::parse(vec![everything]).expect("a rule"),
            gateway::Limits::default(),
        );
        let name = Some("data".to_owned());
        let folders = Folders::new(vec![Folder { name, path: folder.to_owned() }]);
        let world = World {
            gate: Arc::new(gate),
            folders: Arc::new(folders.expect("a folder")),
            datasets: Datasets::default(),
            files: Arc::new(Semaphore::new(1)),
            clock: Arc::new(SystemClock),
            random: Arc::new(SystemRandom),
            sites: Some(Arc::new(Nowhere)),
            models: None,
        };
        let destinations = destinations.iter().map(|it| (*it).to_owned()).collect();
        let granted = Granted::parse(&Capabilities {
            destinations,
            files,
            datasets: Vec::new(),
            secrets: Vec::new(),
            sites: false,
            models: false,
        });
        let run = RunId::new(Timestamp::from_millis(0), &SystemRandom);
        let activation = Activation::root().task("call", 1);
        let function = base::FunctionRef::parse("f:1.0.0@default").expect("a reference");
        let effect = Perform {
            pool: None,
            witness: engine::effect::Witness::default(),
            lists: engine::list::Lists::default(),
            run,
            namespace: Namespace::parse("lab").expect("a name"),
            workflow: base::WorkflowName::parse("flow").expect("a name"),
            budget: None,
            effect: EffectNo(1),
            key: IdempotencyKey::new(run, &activation, 0),
            activation,
            labels: Arc::new([]),
            secrets: Arc::new([]),
            traceparent: "".into(),
            action: Arc::new(Action::Function { function, input: object([]) }),
        };
        Reach::new(Arc::new(world), Arc::new(granted.expect("patterns")), effect)
    }

    /// Mutation: ask the egress map alone, or let an empty manifest reach everything.
    #[tokio::test]
    async fn a_function_reaches_only_destinations_of_its_manifest() {
        let folder = tempfile::tempdir().expect("a folder");
        // Nobody listens on port 1 of this machine, so whoever gets that far is not answered.
        let request = || OutRequest::new("GET", "http://127.0.0.1:1/", &[]).expect("a request");
        for other in [&[][..], &["http://127.0.0.1:2"], &["https://127.0.0.1:1"]] {
            let fault = reach(folder.path(), Vec::new(), other).request(request()).await;
            let fault = fault.expect_err("outside of the manifest");
            assert_eq!((fault.kind(), fault.status), (ErrorType::Authorization, 403));
            assert!(fault.detail.is_some_and(|it| it.starts_with("GATE-007")), "{other:?}");
        }
        let named = reach(folder.path(), Vec::new(), &["http://127.0.0.1:1"]);
        let answer = named.request(request()).await.expect("the manifest names it");
        assert!(matches!(answer.result, Err(gateway::OutError::NotSent { .. })), "{answer:?}");
    }

    /// Mutation: let every function have other sites work.
    #[test]
    fn a_function_has_other_sites_work_only_if_its_manifest_does() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut reach = reach(folder.path(), Vec::new(), &[]);
        assert!(reach.sites().is_none());
        reach.granted = Arc::new(Granted { may_dispatch: true, ..Granted::clone(&reach.granted) });
        assert!(reach.sites().is_some());
    }

    /// Mutation: give the folders to every function.
    #[test]
    fn a_function_reads_files_only_if_its_manifest_does() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("a"), "x").expect("written");
        let open = |files| reach(folder.path(), files, &[]).folders().open("data/a").is_ok();
        assert!(open(vec![FileAccess::Read]));
        assert!(!open(Vec::new()));
    }
}
