//! The third act: notes by language models, through the site's one door to them. The provider's server is stopped
//! after the first note, and a budget stops the third one.

use std::fs;
use std::path::{Path, PathBuf};

use base::{Namespace, WorkflowName};
use serde::Deserialize;
use serde_json::json;
use wire::{BudgetSet, ModelPut, RunDetail};

use super::server::Server;
use super::writer::Writer;
use super::{REASON, applied, bundle, clinics, name, promise, started, story};
use crate::address::{Address, Whom};
use crate::api::Api;
use crate::failure::{Failure, Outcome};
use crate::output;
use crate::resource::{self, Kind};

const NAMESPACE: &str = "clinic";
const WORKFLOW: &str = "patient-note";

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
    /// All names of the list.
    pub patients: Vec<&'static str>,
    /// In their order, one for each of the findings.
    pub notes: Vec<Note>,
    pub cloud_got: Vec<String>,
    pub local_got: Vec<String>,
}

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
        let mut notes = Vec::new();
        for (number, (patient, findings)) in patients.iter().zip(FINDINGS).enumerate() {
            let input = json!({ "patient": patient, "findings": findings });
            let run = started(&api, &workflow, &revision, input).await?;
            let note = Note::of(&clinics::ended(&api, run, "the clinic").await?);
            let got = [cloud.got(), local.got()].concat();
            output::write(&story::note(number + 1, patient, &note, got.get(number)))?;
            notes.push(note);
            if number == 0 {
                cloud.stop().await;
                output::write(&story::cloud_stopped())?;
            }
        }
        let (cloud_got, local_got) = (cloud.got(), local.got());
        let evidence = Evidence { patients, notes, cloud_got, local_got };
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
        }
    }
    let holder = format!("namespace/{NAMESPACE}");
    let reason = Some(REASON.to_owned());
    api.budget_set(&BudgetSet { holder, budget: BUDGET.to_owned(), alarms: None, reason }).await
}
