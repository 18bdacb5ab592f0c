//! The second act: a hub and three clinics, one of them cut off, and the hub killed meanwhile.
//!
//! ```text
//!   hub ◄── north          each clinic: its own slice of the cases, a run for each
//!    ▲ ◄─── south          hub: outcomes, and nothing else
//!    └─ ✂ ─ east
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, io};

use base::{Clock as _, Namespace, RunId, SystemClock, SystemRandom};
use hub::HubFolder;
use identity::{Domain, JoinToken};
use site::uplink::Membership;
use store::RunState;
use tokio::time::{sleep, timeout};
use wire::{
    DesiredApply, DesiredState, OrderCreate, RunDetail, RunStart, SiteView, TokenCreate,
    WorkflowDocument,
};

use super::cut::Cable;
use super::server::Server;
use super::{bundle, name, promise, story, truth};
use crate::address::{Address, Whom};
use crate::api::{Api, Part};
use crate::failure::{Failure, Outcome};
use crate::{output, serve};

/// Between two looks at what others do.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// For one thing that others do: far beyond what any takes.
const PATIENCE: Duration = Duration::from_secs(300);

const NAMESPACE: &str = "clinic";
const WORKFLOW: &str = "screening";

/// The one that is cut off.
const EAST: usize = 1;

/// Which part of the cases each has, of the whole: unequal on purpose.
const PARTS: [(&str, usize); 3] =
    [("clinic-north", 284), ("clinic-east", 190), ("clinic-south", 95)];

/// How many of its cases the hub has heard of when the clinic is cut off: a third.
const CUT_AT: u64 = 63;

/// One clinic, with what must come of its cases.
pub struct Clinic {
    pub name: &'static str,
    pub cases: u64,
    pub suspicious: u64,
    folder: PathBuf,
    server: Option<Server>,
}

/// Everything that this act has made.
#[derive(Default)]
pub struct Fleet {
    folder: PathBuf,
    hub: Option<Server>,
    clinics: Vec<Clinic>,
    cable: Option<Cable>,
}

/// What happened, as each of those who took part says.
pub struct Evidence {
    pub clinics: Vec<ClinicEvidence>,
    /// Outcomes of the clinic that was cut off that waited when it was done.
    pub waited: u64,
    pub hub_signal: Option<i32>,
    /// Places of the hub's folder in which a value of a row was found.
    pub leaked: Vec<String>,
    /// Values that were looked for, and how many of them the same search finds at the clinics.
    pub values: usize,
    pub found_at_clinics: usize,
}

pub struct ClinicEvidence {
    pub name: &'static str,
    pub cases: u64,
    pub suspicious: u64,
    /// What its own run says.
    pub totals: Option<(u64, u64)>,
    /// Outcomes that the hub has, and positions that it lacks.
    pub taken: u64,
    pub lost: u64,
}

impl Fleet {
    /// Lays out what each clinic is given: its configuration, and its slice.
    pub fn lay_out(folder: &Path) -> Outcome<Self> {
        let failed = |cause| Failure::internal(format!("cannot write the demo's files: {cause}"));
        let mut lines = bundle::CASES.lines();
        let head = lines.next().unwrap_or_default();
        let mut clinics = Vec::new();
        for (name, count) in PARTS {
            let rows: Vec<&str> = lines.by_ref().take(count).collect();
            let slice = format!("{head}\n{}\n", rows.join("\n"));
            let risks = truth::risks(&slice, &bundle::model());
            let truth = truth::truth(&slice, slice.as_bytes(), &risks, bundle::THRESHOLD);
            let folder = folder.join(name);
            fs::create_dir_all(&folder).map_err(failed)?;
            fs::write(folder.join("cases.csv"), slice).map_err(failed)?;
            fs::write(folder.join("site.yaml"), bundle::CLINIC).map_err(failed)?;
            let suspicious = truth.referred.len() as u64;
            clinics.push(Clinic { name, cases: truth.cases, suspicious, folder, server: None });
        }
        Ok(Self { folder: folder.to_owned(), hub: None, clinics, cable: None })
    }

    /// Gives the lines of what was proved.
    pub async fn play(&mut self) -> Outcome<String> {
        let parts: Vec<_> = self.clinics.iter().map(|it| (it.name, it.cases)).collect();
        output::write(&story::clinics_title(&parts))?;
        HubFolder::init(&self.hub_data(), name(Domain::parse("clinics")), SystemClock.now())
            .map_err(|error| Failure::internal(error.to_string()))?;
        self.start_hub("127.0.0.1:0").await?;
        let api = self.hub_api()?;
        let listen = self.join_all(&api).await?;
        self.apply(&api).await?;
        self.until(&api, |sites| {
            let is_there = |it: &SiteView| {
                it.desired.as_ref().is_some_and(|it| it.state == DesiredState::Converged)
            };
            sites.len() == PARTS.len() && sites.iter().all(is_there)
        })
        .await?;
        output::write(&story::law_sent(PARTS.len()))?;
        let runs = self.order(&api).await?;

        let east = self.clinics[EAST].name;
        self.until(&api, |sites| taken(sites, east) >= CUT_AT).await?;
        self.cable()?.cut();
        let heard = taken(&sites(&api).await?, east);
        let hub = self.hub.take().ok_or_else(|| Failure::internal("there is no hub to kill"))?;
        let pid = hub.pid;
        let hub_signal = hub.kill().await?;
        output::write(&story::cut_off(east, heard, pid))?;

        let alone = self.run_end(EAST, &runs[EAST]).await?;
        let status = self.site_api(EAST)?.site_status().await?;
        let waited = status.hub.and_then(|hub| hub.waiting.get("outcome").copied()).unwrap_or(0);
        output::write(&story::went_on(east, alone.view.state.as_str(), waited))?;

        self.start_hub(&listen).await?;
        let api = self.hub_api()?;
        let others: Vec<(&str, u64)> = self.others().collect();
        self.until(&api, |sites| others.iter().all(|(name, wanted)| taken(sites, name) >= *wanted))
            .await?;
        output::write(&story::hub_again(&sites(&api).await?))?;

        self.cable()?.mend();
        let wanted = self.clinics[EAST].cases + 1;
        self.until(&api, |sites| taken(sites, east) >= wanted).await?;
        let sites = sites(&api).await?;
        output::write(&story::caught_up(&sites))?;
        let mut details = Vec::new();
        for (n, run) in runs.iter().enumerate() {
            details.push(self.run_end(n, run).await?);
        }
        let left = self.site_api(EAST)?.site_left(None).await?;
        output::write(&story::left(east, &left))?;
        let evidence = self.evidence(&sites, &details, waited, hub_signal)?;
        let broken = promise::broken_at_clinics(&evidence);
        if !broken.is_empty() {
            return Err(Failure::internal(format!(
                "not as promised:\n  - {}",
                broken.join("\n  - ")
            )));
        }
        Ok(story::clinics_proved(&evidence))
    }

    /// Gives whether all that were there stopped as they should.
    pub async fn clear(self) -> bool {
        let servers = self.clinics.into_iter().filter_map(|clinic| clinic.server).chain(self.hub);
        let mut stopped = true;
        for server in servers {
            stopped &= server.stop().await;
        }
        stopped
    }

    fn hub_data(&self) -> PathBuf {
        self.folder.join("hub")
    }

    fn hub_api(&self) -> Outcome<Api> {
        Api::new(Address::Folder(self.hub_data(), Whom::Hub), name(Namespace::parse(NAMESPACE)))
    }

    fn site_api(&self, n: usize) -> Outcome<Api> {
        let data = self.clinics[n].folder.join("data");
        Api::new(Address::Folder(data, Whom::Site), name(Namespace::parse(NAMESPACE)))
    }

    fn cable(&self) -> Outcome<&Cable> {
        self.cable.as_ref().ok_or_else(|| Failure::internal("there is no line to cut"))
    }

    /// Those that were never cut off, with the outcomes that are expected of them: one for each case, and
    /// one of the run that has begun them.
    fn others(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        let others = self.clinics.iter().enumerate().filter(|(n, _)| *n != EAST);
        others.map(|(_, clinic)| (clinic.name, clinic.cases + 1))
    }

    async fn start_hub(&mut self, listen: &str) -> Outcome<()> {
        let data = self.hub_data();
        let args: [&OsStr; 8] = [
            "hub".as_ref(),
            "serve".as_ref(),
            "--data".as_ref(),
            data.as_ref(),
            "--listen".as_ref(),
            listen.as_ref(),
            "--port".as_ref(),
            "0".as_ref(),
        ];
        self.hub = Some(Server::start(&args, &self.folder.join("hub.log")).await?);
        Ok(())
    }

    /// Gives where the hub listens for them.
    async fn join_all(&mut self, api: &Api) -> Outcome<String> {
        let mut listen = String::new();
        for n in 0..self.clinics.len() {
            let clinic = &self.clinics[n];
            let site = clinic.name.to_owned();
            let hubs = match n {
                EAST => vec![self.cable.insert(Cable::lay(listen.clone()).await?).address()],
                _ => Vec::new(),
            };
            let tags = [("role".to_owned(), "clinic".to_owned())].into();
            let (ttl_seconds, reason) = (None, Some("the demo".to_owned()));
            let ask = TokenCreate { site, tags, ttl_seconds, replace: false, reason, hubs };
            let made = api.token_create(&ask).await?;
            let token = JoinToken::parse(&made.token)
                .map_err(|wrong| Failure::internal(format!("the hub gave no token: {wrong}")))?;
            if listen.is_empty() {
                listen = token.hubs.first().cloned().unwrap_or_default();
            }
            let (data, config) = (clinic.folder.join("data"), clinic.folder.join("site.yaml"));
            let (now, identity) = (SystemClock.now(), data.join(serve::IDENTITY));
            let joined = Membership::join(&identity, &token, now, &SystemRandom).await;
            joined.map_err(|error| Failure::internal(error.to_string()))?;
            let args: [&OsStr; 8] = [
                "site".as_ref(),
                "serve".as_ref(),
                "--port".as_ref(),
                "0".as_ref(),
                "--data".as_ref(),
                data.as_ref(),
                "--config".as_ref(),
                config.as_ref(),
            ];
            let server = Server::start(&args, &clinic.folder.join("site.log")).await?;
            self.clinics[n].server = Some(server);
        }
        Ok(listen)
    }

    async fn apply(&self, api: &Api) -> Outcome<()> {
        let documents = bundle::LAW.map(|(source, text)| WorkflowDocument {
            text: text.to_owned(),
            source: Some(source.to_owned()),
        });
        let reason = Some("the demo".to_owned());
        let ask = DesiredApply { documents: documents.into(), dry_run: false, reason };
        api.desired_apply(&ask).await.map_err(|error| api.explain(error))?;
        Ok(())
    }

    /// Has every clinic screen its own cases. Gives the run of each.
    async fn order(&self, api: &Api) -> Outcome<Vec<String>> {
        let input = serde_json::json!({ "threshold": bundle::THRESHOLD, "model": bundle::model() });
        let start = RunStart {
            workflow: WORKFLOW.to_owned(),
            revision: None,
            run: None,
            input,
            tags: Vec::new(),
            labels: Vec::new(),
            priority: 0,
            reason: Some("the demo".to_owned()),
        };
        let ask = OrderCreate {
            sites: Vec::new(),
            tags: [("role".to_owned(), "clinic".to_owned())].into(),
            all: false,
            namespace: NAMESPACE.to_owned(),
            start,
            request: None,
            ttl_seconds: None,
        };
        let orders = api.order_create(&ask).await.map_err(|error| api.explain(error))?.items;
        let run_at = |clinic: &Clinic| {
            let order = orders.iter().find(|order| order.site == clinic.name);
            order
                .map(|order| order.run.clone())
                .ok_or_else(|| Failure::internal(format!("the hub gave {} no order", clinic.name)))
        };
        self.clinics.iter().map(run_at).collect()
    }

    /// The run at that clinic, when it has ended.
    async fn run_end(&self, n: usize, run: &str) -> Outcome<RunDetail> {
        let api = self.site_api(n)?;
        ended(&api, name(run.parse()), self.clinics[n].name).await
    }

    async fn until(&self, api: &Api, is_so: impl Fn(&[SiteView]) -> bool) -> Outcome<()> {
        let so = async {
            while !is_so(&sites(api).await?) {
                sleep(LOOK_EVERY).await;
            }
            Ok(())
        };
        timeout(PATIENCE, so).await.unwrap_or_else(|_| Err(stuck("the hub")))
    }

    fn evidence(
        &self,
        sites: &[SiteView],
        details: &[RunDetail],
        waited: u64,
        hub_signal: Option<i32>,
    ) -> Outcome<Evidence> {
        let clinics = self.clinics.iter().zip(details).map(|(clinic, detail)| {
            let number = |key: &str| detail.output.as_ref()?.get(key)?.as_u64();
            let lost = sites.iter().find(|site| site.site == clinic.name);
            ClinicEvidence {
                name: clinic.name,
                cases: clinic.cases,
                suspicious: clinic.suspicious,
                totals: number("screened").zip(number("suspicious")),
                taken: taken(sites, clinic.name),
                lost: lost.map_or(0, |site| site.lost.values().sum()),
            }
        });
        let clinics = clinics.collect();
        let values = values(bundle::CASES);
        let failed = |cause| Failure::internal(format!("cannot search the folders: {cause}"));
        let leaked = search(&self.hub_data(), &values).map_err(failed)?;
        let leaked = leaked.into_values().map(|file| file.display().to_string()).collect();
        let mut at_clinics = BTreeMap::new();
        for clinic in &self.clinics {
            at_clinics.extend(search(&clinic.folder.join("data"), &values).map_err(failed)?);
        }
        let (values, found_at_clinics) = (values.len(), at_clinics.len());
        Ok(Evidence { clinics, waited, hub_signal, leaked, values, found_at_clinics })
    }
}

async fn sites(api: &Api) -> Outcome<Vec<SiteView>> {
    Ok(api.fleet_list(&Part { limit: None, cursor: None }).await?.items)
}

/// The run at that site, when it has ended.
pub async fn ended(api: &Api, run: RunId, who: &str) -> Outcome<RunDetail> {
    let ended = async {
        loop {
            let detail = api.run_show(run).await?;
            match detail.view.state.parse::<RunState>() {
                Ok(state) if state.has_ended() => return Ok(detail),
                _ => sleep(LOOK_EVERY).await,
            }
        }
    };
    timeout(PATIENCE, ended).await.unwrap_or_else(|_| Err(stuck(who)))
}

fn stuck(who: &str) -> Failure {
    let minutes = PATIENCE.as_secs() / 60;
    Failure::internal(format!("what was waited for did not come of {who} in {minutes} minutes"))
}

fn taken(sites: &[SiteView], name: &str) -> u64 {
    let site = sites.iter().find(|site| site.site == name);
    site.and_then(|site| site.taken.get("outcome").copied()).unwrap_or(0)
}

/// Values of rows that are long enough to be nothing else.
fn values(cases: &str) -> BTreeSet<&str> {
    const BYTES_MIN: usize = 8;
    let fields = cases.lines().skip(1).flat_map(|line| line.split(','));
    fields.filter(|field| field.len() >= BYTES_MIN).collect()
}

/// Which of the values stand in files below the folder, each with one file.
fn search<'a>(folder: &Path, values: &BTreeSet<&'a str>) -> io::Result<BTreeMap<&'a str, PathBuf>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(search(&path, values)?);
            continue;
        }
        let bytes = fs::read(&path)?;
        let numbers = bytes.split(|byte| !byte.is_ascii_digit() && *byte != b'.');
        for number in numbers.filter_map(|number| std::str::from_utf8(number).ok()) {
            if let Some(value) = values.get(number) {
                found.entry(*value).or_insert_with(|| path.clone());
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mutation: look into the folder and not below it, or take every text that is in a longer number.
    #[test]
    fn a_value_is_found_wherever_it_lies() {
        let folder = tempfile::tempdir().expect("a folder");
        let below = folder.path().join("a/b");
        fs::create_dir_all(&below).expect("made");
        fs::write(below.join("c"), b"\x00{\"x\":0.006399,\"y\":10.048211}").expect("written");
        let values = values("head\n0.006399,1,0.048211\n0.073155,2\n");
        assert_eq!(values.len(), 3);
        let found = search(folder.path(), &values).expect("read");
        assert_eq!(found.into_keys().collect::<Vec<_>>(), ["0.006399"]);
    }
}
