//! `dispatch`: has other sites run a workflow, and waits for what comes of it.
//!
//! Here its arguments are read. How one comes to other sites is the site's business (ADR 17).

use std::collections::BTreeMap;

use base::value::{as_array, as_i64, as_object, as_str, get};
use base::{
    DatasetName, DispatchId, Duration, ErrorType, Fault, Namespace, RunId, SiteName, Value,
    WorkflowName, tags_wrong,
};
use engine::effect::Certainty;
use futures::FutureExt;
use futures::future::{BoxFuture, ready};
use gateway::Permit;
use spec::duration::parse_iso_duration;

use super::{Done as Ended, Function, Reach};

pub const MANIFEST: &str = include_str!("dispatch.json");

/// A coffee: whoever wants to wait for sites that are away says so.
pub const TIMEOUT_USUAL: Duration = Duration::from_secs(600);

/// As long as an order is good for at most.
pub const TIMEOUT_MAX: Duration = Duration::from_secs(45 * 24 * 3600);

/// Who has other sites work.
pub trait Sites: Send + Sync + 'static {
    /// The same dispatch again goes on where it stands.
    fn dispatch(&self, ask: Ask) -> BoxFuture<'static, Done>;

    /// Whether this one has begun: what it says has left already.
    fn has_begun(&self, dispatch: DispatchId) -> BoxFuture<'static, bool>;
}

/// What came of it, and whether that will stay so when the effect is repeated.
#[derive(Debug)]
pub struct Done {
    pub result: Result<Value, Fault>,
    pub certainty: Certainty,
}

/// What a run asks of other sites.
#[derive(Debug, Clone, PartialEq)]
pub struct Ask {
    pub dispatch: DispatchId,
    pub run: RunId,
    pub namespace: Namespace,
    pub workflow: WorkflowName,
    pub sites: Meant,
    pub input: Value,
    pub quorum: Option<Quorum>,
    pub timeout: Duration,
}

/// Which sites are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Meant {
    Names(Vec<SiteName>),
    Where(BTreeMap<String, String>),
    /// Those that have declared it.
    Dataset(DatasetName),
    All,
}

/// How many of them must complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quorum {
    Count(u32),
    Majority,
    All,
}

pub(crate) struct Dispatch;

impl Function for Dispatch {
    fn manifest(&self) -> &'static str {
        MANIFEST
    }

    fn call(
        &self,
        _permit: &Permit<gateway::Function>,
        input: &Value,
        reach: Reach,
    ) -> BoxFuture<'static, Ended> {
        let effect = reach.effect();
        let is_labelled = !effect.labels.is_empty();
        let Some(sites) = reach.sites() else {
            if is_labelled {
                return ready(labelled()).boxed();
            }
            let detail = "this site has joined no hub, so that it reaches no other site; `isonomy site join` with a token of a hub changes that";
            return ready(Ended::ended(Err(Fault::new(ErrorType::Configuration, detail)))).boxed();
        };
        let dispatch = DispatchId::of(effect.run, effect.key.as_str());
        let ask = match ask(dispatch, effect.run, &effect.namespace, input) {
            Ok(ask) => ask,
            Err(wrong) => {
                let fault = Fault::new(ErrorType::Validation, format!("`dispatch`: {wrong}"));
                return ready(Ended::ended(Err(fault))).boxed();
            }
        };
        async move {
            // One that began before, beside what the run has read since, goes on after a restart.
            if is_labelled && !sites.has_begun(dispatch).await {
                return labelled();
            }
            let Done { result, certainty } = sites.dispatch(ask).await;
            Ended::Sent { result, certainty, ruling: None }
        }
        .boxed()
    }
}

fn labelled() -> Ended {
    let detail = "the run has read labelled data, and the hub would carry it to other sites; `dispatch` is for runs without labels";
    let fault = Fault::new(ErrorType::Authorization, detail);
    Ended::Denied { fault, rule: "labels".to_owned() }
}

/// The arguments, which fit the schema.
fn ask(
    dispatch: DispatchId,
    run: RunId,
    namespace: &Namespace,
    input: &Value,
) -> Result<Ask, String> {
    let workflow = get(input, "workflow").and_then(as_str).unwrap_or_default();
    let workflow = WorkflowName::parse(workflow).map_err(|wrong| wrong.to_string())?;
    let timeout = match get(input, "timeout").and_then(as_str) {
        Some(text) => parse_iso_duration(text).map_err(|wrong| format!("`timeout`: {wrong}"))?,
        None => TIMEOUT_USUAL,
    };
    if timeout == Duration::ZERO || timeout > TIMEOUT_MAX {
        return Err("`timeout`: more than nothing, and 45 days at most".to_owned());
    }
    let quorum = get(input, "quorum").map(|quorum| match as_str(quorum) {
        Some("majority") => Quorum::Majority,
        Some(_) => Quorum::All,
        None => {
            Quorum::Count(as_i64(quorum).and_then(|it| u32::try_from(it).ok()).unwrap_or(u32::MAX))
        }
    });
    Ok(Ask {
        dispatch,
        run,
        namespace: namespace.clone(),
        workflow,
        sites: meant(get(input, "sites").unwrap_or(&Value::Null))?,
        input: get(input, "input").cloned().unwrap_or_else(|| base::value::object([])),
        quorum,
        timeout,
    })
}

fn meant(sites: &Value) -> Result<Meant, String> {
    if let Some(names) = get(sites, "names").and_then(as_array) {
        let name = |it: &Value| SiteName::parse(as_str(it).unwrap_or_default());
        let names: Result<Vec<_>, _> = names.iter().map(name).collect();
        let mut names = names.map_err(|wrong| format!("`sites`: {wrong}"))?;
        names.sort();
        names.dedup();
        return Ok(Meant::Names(names));
    }
    if let Some(name) = get(sites, "dataset").and_then(as_str) {
        let name = DatasetName::parse(name).map_err(|wrong| format!("`sites`: {wrong}"))?;
        return Ok(Meant::Dataset(name));
    }
    let Some(tags) = get(sites, "where").and_then(as_object) else { return Ok(Meant::All) };
    let text = |it: &Value| as_str(it).unwrap_or_default().to_owned();
    let tags: BTreeMap<_, _> = tags.iter().map(|(key, value)| (text(key), text(value))).collect();
    match tags_wrong(&tags) {
        Some(wrong) => Err(format!("`where` of `sites`: {wrong}")),
        None => Ok(Meant::Where(tags)),
    }
}

#[cfg(test)]
mod tests {
    use base::value::parse;

    use super::*;

    fn read(json: &str) -> Result<Ask, String> {
        let run = RunId::from_uuid(uuid::Uuid::from_u128(1));
        let input = parse(json.as_bytes()).expect("JSON");
        ask(DispatchId::of(run, "k"), run, &Namespace::parse("lab").expect("a name"), &input)
    }

    /// Mutation: wait for ever, take a name or a tag that is none, or read a quorum as another.
    #[test]
    fn arguments_become_what_is_asked() {
        let usual = read(r#"{"workflow":"screen","sites":{"all":true}}"#).expect("an ask");
        assert_eq!((usual.sites, usual.timeout, usual.quorum), (Meant::All, TIMEOUT_USUAL, None));
        let named =
            r#"{"workflow":"screen","sites":{"names":["b","a","b"]},"quorum":2,"timeout":"P45D"}"#;
        let named = read(named).expect("an ask");
        let names = ["a", "b"].map(|name| SiteName::parse(name).expect("a name"));
        assert_eq!(named.sites, Meant::Names(names.to_vec()));
        assert_eq!((named.quorum, named.timeout), (Some(Quorum::Count(2)), TIMEOUT_MAX));
        let by_tag =
            r#"{"workflow":"screen","sites":{"where":{"region":"eu"}},"quorum":"majority"}"#;
        let by_tag = read(by_tag).expect("an ask");
        let tags = [("region".to_owned(), "eu".to_owned())].into();
        assert_eq!((by_tag.sites, by_tag.quorum), (Meant::Where(tags), Some(Quorum::Majority)));
        let having = read(r#"{"workflow":"screen","sites":{"dataset":"biopsies"}}"#);
        let dataset = DatasetName::parse("biopsies").expect("a name");
        assert_eq!(having.expect("an ask").sites, Meant::Dataset(dataset));
        for (wrong, part) in [
            (r#"{"workflow":"a b","sites":{"all":true}}"#, "workflow name"),
            (r#"{"workflow":"a","sites":{"names":["x y"]}}"#, "`sites`"),
            (r#"{"workflow":"a","sites":{"dataset":"x y"}}"#, "`sites`"),
            (r#"{"workflow":"a","sites":{"where":{"patient":"Ada Lovelace"}}}"#, "without spaces"),
            (r#"{"workflow":"a","sites":{"all":true},"timeout":"PT0S"}"#, "45 days"),
            (r#"{"workflow":"a","sites":{"all":true},"timeout":"P46D"}"#, "45 days"),
            (r#"{"workflow":"a","sites":{"all":true},"timeout":"soon"}"#, "ISO 8601"),
        ] {
            let said = read(wrong).expect_err(wrong);
            assert!(said.contains(part), "{wrong}: {said}");
        }
    }
}
