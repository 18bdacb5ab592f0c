//! The third act: notes by language models, through the site's one door to them. The provider's server is stopped
//! after the first note, and rests when a few calls have found nobody there; a budget stops the third note.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base::{Namespace, WorkflowName};
use gateway::operator::OperatorError;
use models::{FAULTS_MAX, Missed, ModelName, Operation, Settled};
use serde::Deserialize;
use serde_json::json;
use wire::{BudgetSet, ModelPut, ModelState, RunDetail};

use super::server::Server;
use super::writer::Writer;
use super::{REASON, applied, bundle, clinics, name, promise, started, story};
use crate::address::{Address, Whom};
use crate::api::{Api, Part};
use crate::command::calls::Call;
use crate::failure::{Failure, Outcome};
use crate::output;
use crate::resource::{self, Kind};

const NAMESPACE: &str = "clinic";
const WORKFLOW: &str = "patient-note";

/// The provider's model, and the route over it.
pub const CLOUD: &str = "writer-cloud";
const ROUTE: &str = "writer";

/// Between two looks at what is written down.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// What the team may spend: two notes, and not a third one.
pub const BUDGET: &str = "0.01EUR/total";

/// What was found, of each of the first patients of the list. Nobody's name is in it.
pub const FINDINGS: [&str; 3] = [
    "The screening says 0.93; she is referred to the clinic for tumours.",
    "The screening says 0.04; nothing has to be done.",
    "The screening says 0.61; she is referred to the clinic for tumours.",
];

/// Everything that this act has made.
#[derive(Default)]
pub struct Notes {
    folder: PathBuf,
    site: Option<Server>,
}

/// What happened: as the runs say, and as the servers have kept it.
#[derive(Debug, Clone)]
pub struct Evidence {
    pub outage: Outage,
    /// All names of the list.
    pub patients: Vec<&'static str>,
    /// In their order, one for each of the findings.
    pub notes: Vec<Note>,
    pub cloud_got: Vec<String>,
    pub local_got: Vec<String>,
}

/// What came of the provider's death, before the second note and with it.
#[derive(Debug, Clone, Default)]
pub struct Outage {
    /// What each call of its model has tried, until it rested.
    pub tried: Vec<Vec<Tried>>,
    /// As the site shows its model then, and why.
    pub state: Option<(ModelState, String)>,
    /// What the call for the second note has tried.
    pub note: Vec<Tried>,
}

/// A model, and why it was left.
pub type Tried = (String, Option<Missed>);

#[derive(Debug, Clone)]
pub struct Note {
    pub state: String,
    pub written: Option<Written>,
    pub refused: Option<Refused>,
}

/// The output of a run.
#[derive(Debug, Clone, Deserialize)]
pub struct Written {
    pub note: String,
    pub model: String,
    pub degraded: bool,
}

/// The error of a run.
#[derive(Debug, Clone, Deserialize)]
pub struct Refused {
    pub status: u16,
    pub detail: String,
}

impl Notes {
    #[must_use]
    pub fn new(folder: PathBuf) -> Self {
        Self { folder, site: None }
    }

    /// Gives the lines of what was proved.
    pub async fn play(&mut self) -> Outcome<String> {
        let (mut cloud, local) = (Writer::start().await?, Writer::start().await?);
        output::write(&story::notes_title(&cloud.url(), &local.url()))?;
        lay_out(&self.folder, &cloud.url(), &local.url())?;
        self.site = Some(Server::site(&self.folder).await?);
        let data = self.folder.join("data");
        let api = Api::new(Address::Folder(data, Whom::Site), name(Namespace::parse(NAMESPACE)))?;
        stock(&api, &local.url()).await?;
        let workflow = name(WorkflowName::parse(WORKFLOW));
        let revision = applied(&api, &workflow, bundle::NOTE).await?.revision;

        let patients: Vec<&str> = bundle::patients().collect();
        let (mut notes, mut outage) = (Vec::new(), Outage::default());
        for (number, (patient, findings)) in patients.iter().zip(FINDINGS).enumerate() {
            let input = json!({ "patient": patient, "findings": findings });
            let run = started(&api, &workflow, &revision, input).await?;
            let note = Note::of(&clinics::ended(&api, run, "the clinic").await?);
            let got = [cloud.got(), local.got()].concat();
            output::write(&story::note(number + 1, patient, &note, got.get(number)))?;
            notes.push(note);
            match number {
                0 => {
                    cloud.stop().await;
                    outage = rests(&api).await?;
                    output::write(&story::cloud_rests(&outage))?;
                }
                1 => outage.note = tried(&api, ROUTE, 2).await?.pop().unwrap_or_default(),
                _ => {}
            }
        }
        let (cloud_got, local_got) = (cloud.got(), local.got());
        let evidence = Evidence { outage, patients, notes, cloud_got, local_got };
        let broken = promise::broken_in_notes(&evidence);
        if !broken.is_empty() {
            let told = broken.join("\n  - ");
            return Err(Failure::internal(format!("not as promised:\n  - {told}")));
        }
        Ok(story::notes_proved(&evidence))
    }

    /// Gives whether the site stopped as it should.
    pub async fn clear(self) -> bool {
        match self.site {
            Some(site) => site.stop().await,
            None => true,
        }
    }
}

impl Note {
    fn of(detail: &RunDetail) -> Self {
        let written = detail.output.as_ref().and_then(|it| Written::deserialize(it).ok());
        let refused = detail.view.error.as_ref().and_then(|it| Refused::deserialize(it).ok());
        Self { state: detail.view.state.clone(), written, refused }
    }
}

/// Asks the model whose server is gone, as often as it takes until its lane is shut.
async fn rests(api: &Api) -> Outcome<Outage> {
    let mut outage = Outage::default();
    let name: ModelName = name(ModelName::parse(CLOUD));
    let question = json!([{"role": "user", "content": "Patient: nobody"}]);
    let body = json!({ "model": CLOUD, "messages": question });
    for _ in 0..FAULTS_MAX {
        match api.model_pose(Operation::Chat.path(), &body).await {
            Ok(_) => return Err(Failure::internal("a server that is stopped has answered")),
            Err(OperatorError::Status { .. }) => {}
            Err(error) => return Err(api.explain(error)),
        }
    }
    outage.tried = tried(api, CLOUD, FAULTS_MAX as usize).await?;
    let shown = api.model_show(&name).await?;
    outage.state = Some((shown.state, shown.why.unwrap_or_default()));
    Ok(outage)
}

/// What calls under this name have tried, the first one first, once so many are written down with their ends.
async fn tried(api: &Api, asked: &str, count: usize) -> Outcome<Vec<Vec<Tried>>> {
    loop {
        let page = api.call_list(&Part::default()).await?;
        let calls = page.items.iter().rev().map(Call::read).collect::<Outcome<Vec<_>>>()?;
        let calls = calls.into_iter().filter(|call| call.admitted.asked.as_str() == asked);
        let ends: Vec<_> = calls.filter_map(|call| call.settled).collect();
        if ends.len() < count {
            // An end is written down a moment after its answer.
            tokio::time::sleep(LOOK_AGAIN).await;
            continue;
        }
        let of =
            |end: &Settled| end.legs.iter().map(|leg| (leg.model.to_string(), leg.why)).collect();
        return Ok(ends.iter().map(of).collect());
    }
}

fn lay_out(folder: &Path, cloud: &str, local: &str) -> Outcome<()> {
    let failed = |cause| Failure::internal(format!("cannot write the demo's files: {cause}"));
    let config = bundle::NOTE_SITE.replace(bundle::CLOUD, cloud).replace(bundle::LOCAL, local);
    fs::create_dir_all(folder).map_err(failed)?;
    fs::write(folder.join("site.yaml"), config).map_err(failed)?;
    fs::write(folder.join("patients.csv"), bundle::PATIENTS).map_err(failed)
}

/// Adds the models, the route over them, and the team's budget.
async fn stock(api: &Api, local: &str) -> Outcome<()> {
    for (kind, text) in bundle::WRITERS {
        let text = text.replace(bundle::LOCAL, local);
        let read = resource::read(kind, &text)
            .map_err(|wrong| Failure::internal(format!("the example is wrong: {wrong:?}")))?;
        let put = ModelPut { spec: read.spec, reason: Some(REASON.to_owned()) };
        match kind {
            Kind::Model => {
                api.resource_put::<wire::ModelView>(kind, &api.namespace, &read.name, &put).await?;
            }
            Kind::Route => {
                api.resource_put::<wire::RouteView>(kind, &api.namespace, &read.name, &put).await?;
            }
            Kind::Watch => {
                api.resource_put::<wire::WatchView>(kind, &api.namespace, &read.name, &put).await?;
            }
        }
    }
    let holder = format!("namespace/{NAMESPACE}");
    let reason = Some(REASON.to_owned());
    api.budget_set(&BudgetSet { holder, budget: BUDGET.to_owned(), alarms: None, reason }).await
}
