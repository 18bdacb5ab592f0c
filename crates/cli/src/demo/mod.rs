//! `isonomy demo`: the real example, end to end, with its own server killed on the way.
//!
//! Here is the order of events of the first act; the second is in `clinics`, the third in `notes`. The world outside is in
//! `service`, servers are in `server`, what must come of it in `truth`, whether it did in `promise`, and the
//! words in `story`.

mod book;
pub mod bundle;
mod clinics;
mod cut;
mod listen;
mod notes;
mod promise;
mod server;
mod service;
mod story;
mod truth;
mod waits;
mod writer;

use std::cell::RefCell;
use std::future::pending;
use std::time::{Duration, Instant};

use base::{Clock as _, Namespace, RunId, SystemClock, SystemRandom, WorkflowName};
use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use models::ModelName;
use serde::Deserialize as _;
use serde_json::{Value, json};
use store::RunState;
use wire::{FollowEvent, ModelPut, ModelView, RunDetail, RunStart, WorkflowApplied, WorkflowApply};

use self::book::Book;
use self::bundle::Folder;
use self::clinics::Fleet;
use self::notes::Notes;
use self::promise::{Evidence, Kill, Totals};
use self::server::Server;
use self::service::Service;
use self::waits::Waits;
use crate::address::{Address, Whom};
use crate::api::Api;
use crate::command::store::findings;
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::follow::{Follower, Stop};
use crate::interrupt::Interrupt;
use crate::output;
use crate::resource::Kind;
use crate::runtime;

/// The request at which the site is killed: about a third of the way.
const KILL_AT: u32 = 80;

/// The whole takes seconds; on the slowest machine it must still end by itself.
const DEADLINE: Duration = Duration::from_secs(300);

const NAMESPACE: &str = "clinic";
const WORKFLOW: &str = "tumour-screening";

/// What the site writes down for everything that the demo asks of it.
const REASON: &str = "the demo";

#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Only play the clinic's referral service on this port, to run the example by hand
    #[arg(long, value_name = "PORT")]
    pub service: Option<u16>,
}

pub fn run(args: DemoArgs) -> Outcome {
    runtime::client(async {
        match args.service {
            Some(port) => serve(port).await,
            None => demonstrate().await,
        }
    })
}

async fn serve(port: u16) -> Outcome {
    let mut interrupt = Interrupt::any()?;
    let service = Service::start(port, Book::default()).await?;
    output::write(&story::service_up(&service.url()))?;
    interrupt.wait().await;
    output::write(&format!("\n{}", story::book(&service.book())))?;
    Ok(Exit::Ok)
}

/// Plays the demo, and puts everything away however it ends.
async fn demonstrate() -> Outcome {
    let mut interrupt = Interrupt::any()?;
    let service = Service::start(0, Book::new(Some(KILL_AT))).await?;
    let folder = Folder::lay_out(&service.url())?;
    let fleet = Fleet::lay_out(&folder.path().join("fleet"))?;
    let notes = Notes::new(folder.path().join("notes"));
    let mut stage = Stage { folder, service, site: None, fleet, notes };
    let played = tokio::select! {
        biased;
        () = interrupt.wait() => Err(Failure::new(Exit::Interrupted, "the demo was interrupted")),
        played = tokio::time::timeout(DEADLINE, stage.acts()) => played.unwrap_or_else(|_| {
            Err(Failure::new(Exit::Faulted, format!("the demo took more than {} s", DEADLINE.as_secs())))
        }),
    };
    let cleared = stage.clear().await;
    match played {
        Ok(proved) => {
            cleared?;
            output::write(&proved)?;
            Ok(Exit::Ok)
        }
        Err(mut failure) => {
            // Whatever it was, what was promised did not happen.
            if failure.exit != Exit::Interrupted {
                failure.exit = Exit::Faulted;
            }
            Err(failure)
        }
    }
}

/// Everything that the demo has made and must put away.
struct Stage {
    folder: Folder,
    service: Service,
    site: Option<Server>,
    fleet: Fleet,
    notes: Notes,
}

impl Stage {
    /// Returns what was proved, a line for each.
    async fn acts(&mut self) -> Outcome<String> {
        let first = self.play().await?;
        let second = self.fleet.play().await?;
        let third = self.notes.play().await?;
        Ok(format!("\n{first}\n{second}\n{third}"))
    }

    /// Returns the three lines of what was proved.
    async fn play(&mut self) -> Outcome<String> {
        let truth = truth::of_the_example();
        output::write(&story::title(truth.rows, truth.cases))?;
        output::write(&story::service_up(&self.service.url()))?;
        let site = self.site_start().await?;
        output::write(&story::site_up(site.pid, &site.url))?;
        let mut api = Api::new(
            Address::Folder(self.folder.data(), Whom::Site),
            name(Namespace::parse(NAMESPACE)),
        )?;
        add_model(&api).await?;
        let began = Instant::now();
        let run = start(&api).await?;
        let mut waits = Waits::default();
        let (state, kill) = self.watch(&mut api, run, &mut waits).await?;
        let seconds = began.elapsed().as_secs_f64();

        let detail = api.run_show(run).await?;
        let evidence = evidence(state, &detail, self.service.book(), kill);
        if let Some(totals) = &evidence.totals {
            output::write(&story::totals(totals, seconds, evidence.retries, &waits.words()))?;
        }
        output::write(&story::book(&evidence.book))?;
        let broken = promise::broken(&evidence, &truth);
        match (&evidence.totals, &evidence.kill) {
            (Some(totals), Some(kill)) if broken.is_empty() => {
                Ok(story::proved(&evidence, totals, kill))
            }
            _ => Err(not_as_promised(&broken, &detail)),
        }
    }

    async fn site_start(&mut self) -> Outcome<&Server> {
        let site = Server::site(self.folder.path()).await?;
        Ok(self.site.insert(site))
    }

    /// Follows the run to its end, over the death of its server.
    async fn watch(
        &mut self,
        api: &mut Api,
        run: RunId,
        waits: &mut Waits,
    ) -> Outcome<(RunState, Option<Kill>)> {
        let progress = Progress::default();
        // The signals that matter are heard further out; the follower only wants to be told of some.
        let mut interrupt = Interrupt::typed()?;
        let mut follower = Follower::new(run, true);
        let followed = follower.follow(api, &mut interrupt, |event| {
            progress.tell(event);
            waits.tell(event);
            Ok(())
        });
        tokio::pin!(followed);
        let mut kill = None;
        let stop = {
            let killing = async {
                kill = Some(self.kill(&progress).await?);
                pending::<Outcome<Stop>>().await
            };
            tokio::select! {
                stop = &mut followed => stop,
                failed = killing => failed,
            }
        };
        progress.clear();
        match stop? {
            Stop::Stands(state) => Ok((state, kill)),
            Stop::Interrupted => Err(Failure::new(Exit::Interrupted, "the demo was interrupted")),
        }
    }

    /// Waits for the request that is held, kills the site that made it, and starts it again.
    async fn kill(&mut self, progress: &Progress) -> Outcome<Kill> {
        self.service.held().await;
        progress.clear();
        let site = self.site.take().ok_or_else(|| Failure::internal("there is no site to kill"))?;
        let pid = site.pid;
        let signal = site.kill().await?;
        if let Some(held) = self.service.book().held() {
            output::write(&story::killed(held, pid))?;
        }
        let site = self.site_start().await?;
        output::write(&story::site_again(site.pid, &site.url))?;
        Ok(Kill { pid, signal, pid_after: site.pid })
    }

    async fn clear(self) -> Outcome<()> {
        let mut stopped = self.fleet.clear().await & self.notes.clear().await;
        if let Some(site) = self.site {
            stopped &= site.stop().await;
        }
        let findings = if stopped { findings(&self.folder.data()).await? } else { Vec::new() };
        self.folder.remove()?;
        if let Some(finding) = findings.first() {
            let what = format!("the store is not what it says: {}", finding.detail);
            Err(Failure::new(Exit::Faulted, what))
        } else if stopped {
            Ok(())
        } else {
            Err(Failure::new(Exit::Faulted, "a server did not stop as it should"))
        }
    }
}

/// Gives the site the model's file, and a name for it.
async fn add_model(api: &Api) -> Outcome<()> {
    let file = api.artifact_take(&api.namespace, bundle::RISK.to_vec()).await?;
    let spec = json!({ "artifact": { "digest": file.digest } });
    let put = ModelPut { spec, reason: Some(REASON.to_owned()) };
    let model = name(ModelName::parse(bundle::RISK_NAME));
    let (view, _) =
        api.resource_put::<ModelView>(Kind::Model, &api.namespace, &model, &put).await?;
    output::write(&story::model_added(&view.name, bundle::RISK.len()))
}

/// Applies the workflow and starts a run of it.
async fn start(api: &Api) -> Outcome<RunId> {
    let workflow = name(WorkflowName::parse(WORKFLOW));
    let applied = applied(api, &workflow, bundle::WORKFLOW).await?;
    let run = started(api, &workflow, &applied.revision, bundle::input()).await?;
    output::write(&story::run_started(&run.to_string(), &applied.version, &applied.revision))?;
    Ok(run)
}

async fn applied(api: &Api, workflow: &WorkflowName, text: &str) -> Outcome<WorkflowApplied> {
    let apply = WorkflowApply {
        text: text.to_owned(),
        dry_run: false,
        source: Some("workflow.yaml".to_owned()),
        reason: Some(REASON.to_owned()),
    };
    let applied = api.workflow_apply(&api.namespace, workflow, &apply).await;
    applied.map_err(|error| api.explain(error))
}

async fn started(
    api: &Api,
    workflow: &WorkflowName,
    revision: &str,
    input: Value,
) -> Outcome<RunId> {
    let run = RunId::new(SystemClock.now(), &SystemRandom);
    let start = RunStart {
        workflow: workflow.to_string(),
        revision: Some(revision.to_owned()),
        run: Some(run.to_string()),
        input,
        tags: Vec::new(),
        labels: Vec::new(),
        priority: 0,
        reason: Some(REASON.to_owned()),
    };
    api.run_start(&api.namespace, &start).await.map_err(|error| api.explain(error))?;
    Ok(run)
}

fn evidence(state: RunState, detail: &RunDetail, book: Book, kill: Option<Kill>) -> Evidence {
    let totals = detail.output.as_ref().and_then(|output| Totals::deserialize(output).ok());
    Evidence { state, totals, retries: detail.view.usage.retries, book, kill }
}

fn not_as_promised(broken: &[String], detail: &RunDetail) -> Failure {
    let mut told = broken.join("\n  - ");
    if let Some(error) = &detail.view.error {
        told.push_str(&format!("\n  - the run's error: {}", crate::fault::line(error)));
    }
    Failure::new(Exit::Faulted, format!("not as promised:\n  - {told}"))
}

fn name<T, E: std::fmt::Debug>(parsed: Result<T, E>) -> T {
    parsed.expect("a name that is written here, and valid")
}

/// A bar on stderr, where that is a terminal.
#[derive(Default)]
struct Progress(RefCell<Option<ProgressBar>>);

impl Progress {
    fn tell(&self, event: &FollowEvent) {
        let mut shown = self.0.borrow_mut();
        let bar = shown.get_or_insert_with(|| {
            let style = ProgressStyle::with_template("  {bar:40}  {pos} of {len} cases  {msg}");
            ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr())
                .with_style(style.expect("our own template"))
        });
        match event.kind.as_str() {
            "iteration" => {
                bar.set_length(event.count.unwrap_or(0));
                bar.set_position(event.index.unwrap_or(0) + 1);
            }
            "retrying" => bar.set_message("trying again"),
            "completed" => bar.set_message(""),
            _ => {}
        }
    }

    /// Takes it away, so that the story can be told; the next event brings it back.
    fn clear(&self) {
        if let Some(bar) = self.0.take() {
            bar.finish_and_clear();
        }
    }
}
