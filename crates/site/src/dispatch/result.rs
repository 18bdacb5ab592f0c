//! What a dispatch has come to. Pure: rows and a time in, a result out.

use std::collections::BTreeMap;

use base::value::{array, int, object, string};
use base::{DispatchId, ErrorType, Fault, Timestamp, Value};
use wire::dispatch::{AnswerState, Meant};
use wire::{DispatchSiteView, DispatchView};

use super::row::{At, Head, Quorum, Tally};

/// Sites of one dispatch that a run's view shows: what a screen holds, and a request answers at once.
const SITES_SHOWN_MAX: usize = 200;

/// What is known of one dispatch.
pub(super) struct Known<'a> {
    pub dispatch: DispatchId,
    pub head: &'a Head,
    pub sites: &'a [At],
}

/// How a site stands, in the words of the function's result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Status {
    Completed,
    Faulted,
    Cancelled,
    Refused,
    Expired,
    /// Its run has begun, and not ended.
    Pending,
    /// It has not said that it has heard.
    Unreachable,
}

impl Status {
    const fn name(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Faulted => "faulted",
            Self::Cancelled => "cancelled",
            Self::Refused => "refused",
            Self::Expired => "expired",
            Self::Pending => "pending",
            Self::Unreachable => "unreachable",
        }
    }

    fn of(at: &At) -> Self {
        if at.unasked.is_some() {
            return Self::Refused;
        }
        match at.answer.as_ref().map(|answer| answer.state) {
            None => Self::Unreachable,
            Some(AnswerState::Taken) => Self::Pending,
            Some(AnswerState::Completed) => Self::Completed,
            Some(AnswerState::Faulted) => Self::Faulted,
            Some(AnswerState::Cancelled) => Self::Cancelled,
            Some(AnswerState::Refused) => Self::Refused,
            Some(AnswerState::Expired) => Self::Expired,
        }
    }
}

impl Head {
    /// Whether nothing is to be waited for any more, as its sites stand.
    pub(super) fn is_over(&self, tally: &Tally, now: Timestamp) -> bool {
        if self.refused.is_some() || self.over_at.is_some() || now >= self.until {
            return true;
        }
        let Tally { sites, completed, open } = *tally;
        self.is_listed()
            && match self.quorum.map(|quorum| quorum.of(sites)) {
                Some(needed) => completed >= needed || completed + open < needed,
                None => open == 0,
            }
    }
}

impl Known<'_> {
    /// What it has come to, where it is over; nothing where it is to be waited for.
    pub(super) fn result(&self, now: Timestamp) -> Option<Result<Value, Fault>> {
        let Self { head, sites, .. } = self;
        if let Some(code) = &head.refused {
            return Some(Err(refused(code)));
        }
        let mut tally = Tally::default();
        sites.iter().for_each(|at| tally.count(at));
        if !head.is_over(&tally, now) {
            return None;
        }
        if !head.is_listed() {
            return Some(self.unlisted());
        }
        let Some(quorum) = head.quorum else { return Some(Ok(self.value(sites))) };
        let needed = quorum.of(sites.len());
        Some(if tally.completed >= needed {
            Ok(self.value(sites))
        } else if tally.completed + tally.open < needed {
            Err(self.short(ErrorType::Communication, needed, sites))
        } else {
            Err(self.short(ErrorType::Timeout, needed, sites))
        })
    }

    /// The hub has not said in time who is meant.
    fn unlisted(&self) -> Result<Value, Fault> {
        let Meant::Names(names) = &self.head.meant else {
            let detail = "the hub has not said in time which sites are meant; `isonomy site status` says how the line to it is";
            return Err(Fault::new(ErrorType::Timeout, detail));
        };
        let sites: Vec<At> = names.iter().cloned().map(At::new).collect();
        match self.head.quorum {
            None => Ok(self.value(&sites)),
            Some(quorum) => Err(self.short(ErrorType::Timeout, quorum.of(sites.len()), &sites)),
        }
    }

    fn short(&self, kind: ErrorType, needed: usize, sites: &[At]) -> Fault {
        let counted: Vec<String> =
            counted(sites).iter().map(|(status, count)| format!("{count} {status}")).collect();
        let (count, counted) = (sites.len(), counted.join(", "));
        let detail = format!("{needed} of {count} sites had to complete: {counted}");
        Fault::new(kind, detail)
    }

    fn value(&self, sites: &[At]) -> Value {
        let complete = self.head.is_listed() && sites.iter().all(At::has_ended);
        let counted: Vec<(&str, Value)> =
            counted(sites).into_iter().map(|(status, count)| (status, int(count))).collect();
        object([
            ("dispatch", string(&self.dispatch.to_string())),
            ("sites", array(sites.iter().map(entry).collect())),
            ("counted", object(counted)),
            ("complete", Value::Bool(complete)),
        ])
    }
}

/// As the API shows it.
pub(super) fn view(known: &Known<'_>) -> DispatchView {
    let Known { dispatch, head, sites } = known;
    let site = |at: &At| DispatchSiteView {
        site: at.site.to_string(),
        status: Status::of(at).name().to_owned(),
        code: at.code().map(str::to_owned),
        late: at.late.as_ref().map(|late| late.state.name().to_owned()),
        late_at: at.late.as_ref().map(|late| late.at.to_string()),
    };
    let shown: Vec<_> = sites.iter().take(SITES_SHOWN_MAX).map(site).collect();
    DispatchView {
        dispatch: dispatch.to_string(),
        workflow: head.workflow.to_string(),
        until: head.until.to_string(),
        over_at: head.over_at.map(|at| at.to_string()),
        sites_omitted: (sites.len() - shown.len()) as u64,
        sites: shown,
        unmatched: head.unmatched,
        cordoned: head.cordoned,
    }
}

fn counted(sites: &[At]) -> BTreeMap<&'static str, i64> {
    let mut counted = BTreeMap::new();
    for at in sites {
        *counted.entry(Status::of(at).name()).or_insert(0) += 1;
    }
    counted
}

fn entry(at: &At) -> Value {
    let mut fields =
        vec![("site", string(at.site.as_str())), ("status", string(Status::of(at).name()))];
    let answer = at.answer.as_ref();
    fields.extend(at.code().map(|code| ("code", string(code))));
    fields.extend(at.output.as_ref().map(|output| ("output", output.0.clone())));
    let times = answer.map(|answer| (answer.started_at, answer.ended_at));
    let (started, ended) = times.unwrap_or_default();
    fields.extend(started.map(|at| ("startedAt", string(&at.to_string()))));
    fields.extend(ended.map(|at| ("endedAt", string(&at.to_string()))));
    object(fields)
}

fn refused(code: &str) -> Fault {
    let (kind, detail) = match code {
        "not-a-coordinator" => (
            ErrorType::Authorization,
            "not-a-coordinator: the hub lets a site ask others only with the tag `dispatch=coordinator`; an admin sets it with `isonomy sites tag`".to_owned(),
        ),
        "no-site" => (
            ErrorType::Configuration,
            "no-site: no site that has joined and is not cordoned is meant; `isonomy sites list` at the hub shows the fleet with its tags".to_owned(),
        ),
        "too-many-sites" => (
            ErrorType::Configuration,
            format!("too-many-sites: more than {} are meant; narrow them by tags", wire::dispatch::SITES_MAX),
        ),
        code => (ErrorType::Communication, format!("the hub refused: {code}")),
    };
    Fault::new(kind, detail)
}

impl Quorum {
    fn of(self, sites: usize) -> usize {
        match self {
            Self::Count(count) => count as usize,
            Self::Majority => sites / 2 + 1,
            Self::All => sites,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use base::value::to_json_string;
    use base::{RunId, SiteName};
    use wire::dispatch::Answer;

    use super::super::row;
    use super::*;

    const BEGAN: Timestamp = Timestamp::from_millis(1_000);
    const UNTIL: Timestamp = Timestamp::from_millis(9_000);

    fn name(name: &str) -> SiteName {
        SiteName::parse(name).expect("a name")
    }

    fn head(quorum: Option<Quorum>) -> Head {
        let meant = Meant::Names(["a", "b", "c"].map(name).to_vec());
        let run = RunId::from_uuid(uuid::Uuid::from_u128(1));
        Head { meant, quorum, until: UNTIL, ..row::tests::head(run) }
    }

    /// Sites `a`, `b`, `c` … with their newest word, `?` for none, `!` for one that could not be asked.
    fn sites(words: &str) -> Vec<At> {
        let state = |word| match word {
            't' => Some(AnswerState::Taken),
            'c' => Some(AnswerState::Completed),
            'f' => Some(AnswerState::Faulted),
            'e' => Some(AnswerState::Expired),
            _ => None,
        };
        let at = |(n, word)| At {
            unasked: (word == '!').then(|| "cordoned".to_owned()),
            answer: state(word).map(|state| Answer::new(state, None, BEGAN)),
            ..At::new(name(&char::from(n).to_string()))
        };
        (b'a'..).zip(words.chars()).map(at).collect()
    }

    fn told(head: &Head, words: &str, now: Timestamp) -> String {
        let sites = sites(words);
        let dispatch = DispatchId::of(head.run, "k");
        let text = |value: &Value, key: &str| {
            base::value::get(value, key).map(to_json_string).unwrap_or_default()
        };
        match (Known { dispatch, head, sites: &sites }).result(now) {
            None => "waits".to_owned(),
            Some(Ok(value)) => {
                format!("{} {}", text(&value, "counted"), text(&value, "complete"))
            }
            Some(Err(fault)) => {
                format!("{}: {}", fault.kind().name(), fault.detail.unwrap_or_default())
            }
        }
    }

    #[track_caller]
    fn check(quorum: Option<Quorum>, words: &str, before: &str, after: &str) {
        let head = head(quorum);
        assert_eq!(told(&head, words, BEGAN), before, "{words}");
        assert_eq!(told(&head, words, UNTIL), after, "{words}");
    }

    /// Mutation: wait for a quorum that cannot be any more, end before it is there, count a site that
    /// faulted, or call what is open complete.
    #[test]
    fn it_is_over_with_the_quorum_with_the_last_site_or_with_its_time() {
        let same = |quorum, words, is: &str| check(quorum, words, is, is);
        same(None, "ccf", r#"{"completed":2,"faulted":1} true"#);
        same(None, "!ec", r#"{"completed":1,"expired":1,"refused":1} true"#);
        let open = r#"{"completed":1,"pending":1,"unreachable":1} false"#;
        check(None, "ct?", "waits", open);
        let two = Some(Quorum::Count(2));
        same(two, "cc?", r#"{"completed":2,"unreachable":1} false"#);
        same(Some(Quorum::Majority), "cct", r#"{"completed":2,"pending":1} false"#);
        let late = "timeout: 2 of 3 sites had to complete: 1 completed, 1 pending, 1 unreachable";
        check(two, "ct?", "waits", late);
        let never =
            "communication: 2 of 3 sites had to complete: 1 completed, 1 faulted, 1 refused";
        same(two, "cf!", never);
        let few = "communication: 4 of 3 sites had to complete: 3 unreachable";
        same(Some(Quorum::Count(4)), "???", few);
        let all = "communication: 3 of 3 sites had to complete: 1 faulted, 2 pending";
        same(Some(Quorum::All), "ftt", all);
    }

    /// Mutation: call nobody a result where nobody has said who is meant, or wait beyond the time.
    #[test]
    fn without_the_hub_named_sites_are_unreachable_and_others_are_not_known() {
        let named = Head { pages: None, seen: BTreeSet::new(), ..head(None) };
        assert_eq!(told(&named, "", BEGAN), "waits");
        assert_eq!(told(&named, "", UNTIL), r#"{"unreachable":3} false"#);
        let half = Head { pages: Some(2), ..head(None) };
        assert_eq!(told(&half, "cc", BEGAN), "waits");
        let needed = Head { quorum: Some(Quorum::Count(1)), ..named.clone() };
        assert!(told(&needed, "", UNTIL).starts_with("timeout: 1 of 3"));
        let all = Head { meant: Meant::All, ..named };
        assert!(told(&all, "", UNTIL).starts_with("timeout: the hub has not said"));
        let refused = Head { refused: Some("not-a-coordinator".to_owned()), ..all };
        assert!(told(&refused, "", BEGAN).starts_with("authorization: not-a-coordinator"));
    }

    /// Mutation: count what came late.
    #[test]
    fn what_comes_late_does_not_count() {
        let over = Head { over_at: Some(UNTIL), ..head(None) };
        let mut sites = sites("c??");
        sites[1].late = Some(Answer::new(AnswerState::Completed, None, UNTIL));
        let known = Known { dispatch: DispatchId::of(over.run, "k"), head: &over, sites: &sites };
        let value = known.result(BEGAN).expect("over").expect("a result");
        let counted = base::value::get(&value, "counted").map(to_json_string);
        assert_eq!(counted.as_deref(), Some(r#"{"completed":1,"unreachable":2}"#));
        let shown = view(&known);
        assert_eq!(shown.sites[1].status, "unreachable");
        assert_eq!(shown.sites[1].late.as_deref(), Some("completed"));
    }
}
