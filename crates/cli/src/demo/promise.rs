//! What the demo promises, held against what happened. Pure.

use std::collections::{BTreeMap, BTreeSet};

use models::{FAULTS_MAX, Missed};
use serde::Deserialize;
use store::RunState;
use wire::ModelState;

use super::book::Book;
use super::clinics;
use super::notes::{self, FINDINGS};
use super::truth::{HeldOut, Truth};

/// The model is right on the held-out half at least this often.
pub const ACCURACY_MIN: f64 = 0.95;

/// SIGKILL, the one signal that no process can do anything about.
const KILLED: i32 = 9;

/// The output of the run.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Totals {
    pub read: u64,
    pub broken: Vec<BrokenRow>,
    pub screened: u64,
    pub referred: u64,
    pub held_out: HeldOut,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BrokenRow {
    pub row: u64,
    /// `csv` or `schema`: who noticed.
    pub found: String,
    pub reason: String,
}

/// How the site died, and what came after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kill {
    pub pid: u32,
    pub signal: Option<i32>,
    pub pid_after: u32,
}

/// Everything that happened.
#[derive(Debug, Clone)]
pub struct Evidence {
    pub state: RunState,
    /// `None` where the output is missing or has another form.
    pub totals: Option<Totals>,
    pub retries: u64,
    pub book: Book,
    pub kill: Option<Kill>,
}

/// The same of the second act.
#[must_use]
pub fn broken_at_clinics(evidence: &clinics::Evidence) -> Vec<String> {
    let mut broken = Broken(Vec::new());
    for clinic in &evidence.clinics {
        let name = clinic.name;
        let totals = Some((clinic.cases, clinic.suspicious));
        broken.same(&format!("screened and suspicious at {name}"), clinic.totals, totals);
        // One outcome of each case, and one of the run that has begun them.
        broken.same(&format!("outcomes of {name} at the hub"), clinic.taken, clinic.cases + 1);
        broken.same(&format!("outcomes of {name} that are lost"), clinic.lost, 0);
    }
    broken.unless(evidence.waited > 0, || "nothing waited while the line was cut".into());
    broken.same("the signal that ended the hub", evidence.hub_signal, Some(KILLED));
    broken.same("files of the hub with a value of a row", evidence.leaked.clone(), Vec::new());
    // Else it would prove nothing that they are not found at the hub.
    broken.same("values that are found at the clinics", evidence.found_at_clinics, evidence.values);
    broken.0
}

/// The same of the third act.
#[must_use]
pub fn broken_in_notes(evidence: &notes::Evidence) -> Vec<String> {
    let mut broken = Broken(Vec::new());
    broken.same("notes asked for", evidence.notes.len(), FINDINGS.len());
    let patients = &evidence.patients;
    for (number, (model, degraded)) in
        [("writer-cloud", false), ("writer-local", true)].iter().enumerate()
    {
        let written = evidence.notes.get(number).and_then(|it| it.written.as_ref());
        let by = written.map(|it| (it.model.as_str(), it.degraded));
        broken.same(&format!("who wrote note {}", number + 1), by, Some((*model, *degraded)));
        let patient = patients.get(number).copied().unwrap_or_default();
        let is_named = written.is_some_and(|it| !patient.is_empty() && it.note.contains(patient));
        broken.unless(is_named, || format!("note {} does not name its patient", number + 1));
    }
    names_hold(evidence, &mut broken);
    outage_holds(&evidence.outage, &mut broken);
    let refused = evidence.notes.get(2).and_then(|it| it.refused.as_ref());
    broken.same("the status of the third note", refused.map(|it| it.status), Some(402));
    let is_clear = refused.is_some_and(|it| {
        it.detail.contains("namespace `clinic`") && it.detail.contains("0.01 EUR")
    });
    broken.unless(is_clear, || "the third note's error does not name the budget".into());
    broken.0
}

/// The first calls found nobody, then its model rested, and the next call did not try it.
fn outage_holds(outage: &notes::Outage, broken: &mut Broken) {
    let of = |why| vec![(notes::CLOUD.to_owned(), Some(why))];
    let wanted = vec![of(Missed::Unreachable); FAULTS_MAX as usize];
    broken.same("calls that found nobody", outage.tried.clone(), wanted);
    let state = outage.state.as_ref().map(|(state, _)| *state);
    broken.same("the state of the provider's model", state, Some(ModelState::Resting));
    let local = ("writer-local".to_owned(), None);
    let wanted = [of(Missed::Outage), vec![local]].concat();
    broken.same("what note 2 has tried", outage.note.clone(), wanted);
}

/// Each server was asked once, for its own note, and no part of a name was in what it got.
fn names_hold(evidence: &notes::Evidence, broken: &mut Broken) {
    let parts: Vec<&str> = evidence.patients.iter().flat_map(|it| it.split(' ')).collect();
    broken.unless(!parts.is_empty(), || "the list of patients is empty".into());
    let servers = [("provider", &evidence.cloud_got), ("local server", &evidence.local_got)];
    for ((who, got), findings) in servers.into_iter().zip(FINDINGS) {
        broken.same(&format!("requests to the {who}"), got.len(), 1);
        // Else it would prove nothing that no name is in it.
        let is_whole = got.iter().all(|body| body.contains(findings));
        broken.unless(is_whole, || format!("the {who} was not asked what the run asked"));
        let is_named = got.iter().any(|body| parts.iter().any(|part| body.contains(part)));
        broken.unless(!is_named, || format!("the {who} was sent the name of a patient"));
    }
}

/// What is not as promised; nothing, if all is well.
#[must_use]
pub fn broken(evidence: &Evidence, truth: &Truth) -> Vec<String> {
    let mut broken = Broken(Vec::new());
    broken
        .unless(evidence.state == RunState::Completed, || format!("the run is {}", evidence.state));
    match &evidence.totals {
        Some(totals) => totals_hold(totals, truth, &mut broken),
        None => broken.unless(false, || "the run gave no totals".into()),
    }
    effects_hold(&evidence.book, truth, &mut broken);
    broken.unless(evidence.retries > 0, || "nothing was tried again".into());
    kill_holds(evidence, &mut broken);
    broken.0
}

struct Broken(Vec<String>);

impl Broken {
    fn unless(&mut self, holds: bool, told: impl FnOnce() -> String) {
        if !holds {
            self.0.push(told());
        }
    }

    fn same<T: PartialEq + std::fmt::Debug>(&mut self, what: &str, found: T, wanted: T) {
        self.unless(found == wanted, || format!("{what}: {found:?}, and it should be {wanted:?}"));
    }
}

fn totals_hold(totals: &Totals, truth: &Truth, broken: &mut Broken) {
    let rows: Vec<u64> = totals.broken.iter().map(|row| row.row).collect();
    broken.same("rows read", totals.read, truth.rows);
    broken.same("broken rows", rows, truth.broken.iter().copied().collect());
    broken.same("cases screened", totals.screened, truth.cases);
    broken.same(
        "rows read less those broken",
        totals.read.saturating_sub(totals.broken.len() as u64),
        totals.screened,
    );
    broken.same("cases referred", totals.referred, truth.referred.len() as u64);
    for found in ["csv", "schema"] {
        let any = totals.broken.iter().any(|row| row.found == found);
        broken.unless(any, || format!("no broken row was found by {found}"));
    }
    broken.same("the held-out half", totals.held_out, truth.held_out);
    let accuracy = totals.held_out.accuracy;
    broken.unless(accuracy >= ACCURACY_MIN, || {
        format!("the model is right in {accuracy} of the held-out half")
    });
}

fn effects_hold(book: &Book, truth: &Truth, broken: &mut Broken) {
    let mut effects: BTreeMap<u64, usize> = BTreeMap::new();
    for (key, entry) in book.entries() {
        broken.same(&format!("effects of key {key}"), entry.effects.len(), 1);
        for row in &entry.effects {
            *effects.entry(*row).or_default() += 1;
        }
    }
    for (row, count) in effects.iter().filter(|(_, count)| **count != 1) {
        broken.unless(false, || format!("the case in row {row} was referred {count} times"));
    }
    let referred: BTreeSet<u64> = effects.into_keys().collect();
    broken.unless(referred == truth.referred, || {
        let missing: Vec<_> = truth.referred.difference(&referred).collect();
        let extra: Vec<_> = referred.difference(&truth.referred).collect();
        format!(
            "the service lacks rows {missing:?}, and has rows {extra:?} that nobody should refer"
        )
    });
    let repeated = book.entries().any(|(_, entry)| entry.requests > 1 && entry.effects.len() == 1);
    broken.unless(repeated, || "no key had several requests and one effect".into());
}

fn kill_holds(evidence: &Evidence, broken: &mut Broken) {
    let (Some(kill), Some(held)) = (&evidence.kill, evidence.book.held()) else {
        return broken.unless(false, || "the site was not killed".into());
    };
    broken.same("the signal that ended the site", kill.signal, Some(KILLED));
    broken.unless(kill.pid != kill.pid_after, || "the site is the same process as before".into());
    let entry = evidence.book.entry(&held.key);
    broken.unless(entry.is_some_and(|entry| entry.requests > 1), || {
        "the request at which the site was killed was not repeated".into()
    });
}

#[cfg(test)]
mod tests {
    use super::super::book::Answer;
    use super::*;

    fn truth() -> Truth {
        Truth {
            rows: 5,
            broken: BTreeSet::from([2, 4]),
            cases: 3,
            referred: BTreeSet::from([1, 3]),
            held_out: HeldOut { cases: 1, true_positives: 1, accuracy: 1.0, ..HeldOut::default() },
        }
    }

    fn good() -> Evidence {
        let row =
            |row, found: &str| BrokenRow { row, found: found.into(), reason: "it is odd".into() };
        let mut book = Book::new(Some(2));
        for (key, row) in [("a", 1), ("b", 3), ("b", 3)] {
            book.take(key, row);
        }
        Evidence {
            state: RunState::Completed,
            totals: Some(Totals {
                read: 5,
                broken: vec![row(2, "csv"), row(4, "schema")],
                screened: 3,
                referred: 2,
                held_out: truth().held_out,
            }),
            retries: 1,
            book,
            kill: Some(Kill { pid: 10, signal: Some(9), pid_after: 11 }),
        }
    }

    fn check(spoil: impl FnOnce(&mut Evidence, &mut Totals), expected: &str) {
        let mut evidence = good();
        let mut totals = evidence.totals.clone().expect("the good one has totals");
        spoil(&mut evidence, &mut totals);
        evidence.totals = Some(totals);
        assert_eq!(broken(&evidence, &truth()), [expected]);
    }

    /// Mutation: leave out any one of the promises.
    #[test]
    fn each_promise_is_noticed_when_it_alone_is_broken() {
        assert_eq!(broken(&good(), &truth()), Vec::<String>::new());
        check(|evidence, _| evidence.state = RunState::Waiting, "the run is waiting");
        check(|evidence, _| evidence.retries = 0, "nothing was tried again");
        check(|evidence, _| evidence.kill = None, "the site was not killed");
        check(
            |evidence, _| evidence.kill = Some(Kill { pid: 10, signal: Some(9), pid_after: 10 }),
            "the site is the same process as before",
        );
        check(
            |evidence, _| evidence.kill = Some(Kill { pid: 10, signal: Some(15), pid_after: 11 }),
            "the signal that ended the site: Some(15), and it should be Some(9)",
        );
        check(|_, totals| totals.referred = 3, "cases referred: 3, and it should be 2");
        check(|_, totals| totals.broken[1].row = 3, "broken rows: [2, 3], and it should be [2, 4]");
        check(
            |_, totals| totals.broken[1].found = "csv".into(),
            "no broken row was found by schema",
        );
    }

    /// Mutation: count effects without looking for whom they were.
    #[test]
    fn a_case_that_is_referred_twice_under_two_keys_is_noticed() {
        check(
            |evidence, _| assert!(matches!(evidence.book.take("c", 3), Answer::Booked { .. })),
            "the case in row 3 was referred 2 times",
        );
        check(
            |evidence, _| assert!(matches!(evidence.book.take("c", 4), Answer::Booked { .. })),
            "the service lacks rows [], and has rows [4] that nobody should refer",
        );
    }

    /// Mutation: take a missing output for a good one.
    #[test]
    fn a_run_without_totals_breaks_the_promise() {
        let evidence = Evidence { totals: None, ..good() };
        assert_eq!(broken(&evidence, &truth()), ["the run gave no totals"]);
    }

    /// Mutation: leave out any one of the promises of the second act.
    #[test]
    fn each_promise_of_the_clinics_is_noticed_when_it_alone_is_broken() {
        let good = || clinics::Evidence {
            clinics: vec![clinics::ClinicEvidence {
                name: "north",
                cases: 3,
                suspicious: 1,
                totals: Some((3, 1)),
                taken: 4,
                lost: 0,
            }],
            waited: 2,
            hub_signal: Some(9),
            leaked: Vec::new(),
            values: 5,
            found_at_clinics: 5,
        };
        assert_eq!(broken_at_clinics(&good()), Vec::<String>::new());
        type Spoil = fn(&mut clinics::Evidence);
        let spoils: [(Spoil, &str); 7] = [
            (|it| it.clinics[0].totals = Some((3, 2)), "screened and suspicious at north"),
            (|it| it.clinics[0].taken = 5, "outcomes of north at the hub"),
            (|it| it.clinics[0].lost = 1, "that are lost"),
            (|it| it.waited = 0, "nothing waited"),
            (|it| it.hub_signal = Some(15), "the signal that ended the hub"),
            (|it| it.leaked = vec!["isonomy.db".into()], "with a value of a row"),
            (|it| it.found_at_clinics = 4, "found at the clinics"),
        ];
        for (spoil, expected) in spoils {
            let mut evidence = good();
            spoil(&mut evidence);
            let found = broken_at_clinics(&evidence);
            assert!(found.len() == 1 && found[0].contains(expected), "{found:?}");
        }
    }

    /// Mutation: leave out any one of the promises of the third act.
    #[test]
    fn each_promise_of_the_notes_is_noticed_when_it_alone_is_broken() {
        let note = |model: &str, degraded, patient: &str| notes::Note {
            state: "completed".into(),
            written: Some(notes::Written {
                note: format!("{patient} was seen."),
                model: model.into(),
                degraded,
            }),
            refused: None,
        };
        let detail = "the budget of the namespace `clinic` is 0.01 EUR".to_owned();
        let tried = |why| vec![(notes::CLOUD.to_owned(), Some(why))];
        let good = || notes::Evidence {
            outage: notes::Outage {
                tried: vec![tried(Missed::Unreachable); 3],
                state: Some((ModelState::Resting, "it has failed several times".to_owned())),
                note: vec![tried(Missed::Outage).remove(0), ("writer-local".to_owned(), None)],
            },
            patients: vec!["Ada Moss", "Jon Reed", "Eva Lind"],
            notes: vec![
                note("writer-cloud", false, "Ada Moss"),
                note("writer-local", true, "Jon Reed"),
                notes::Note {
                    state: "faulted".into(),
                    written: None,
                    refused: Some(notes::Refused { status: 402, detail: detail.clone() }),
                },
            ],
            cloud_got: vec![FINDINGS[0].to_owned()],
            local_got: vec![FINDINGS[1].to_owned()],
        };
        assert_eq!(broken_in_notes(&good()), Vec::<String>::new());
        type Spoil = fn(&mut notes::Evidence);
        let spoils: [(Spoil, &str); 13] = [
            (|it| it.outage.tried.truncate(2), "calls that found nobody"),
            (|it| it.outage.tried[2][0].1 = Some(Missed::Outage), "calls that found nobody"),
            (|it| it.outage.state = None, "the state of the provider's model"),
            (|it| it.outage.note[0].1 = Some(Missed::Unreachable), "what note 2 has tried"),
            (|it| it.notes[0] = it.notes[1].clone(), "who wrote note 1"),
            (|it| it.notes[1].written.as_mut().expect("it").degraded = false, "who wrote note 2"),
            (|it| it.notes[1].written.as_mut().expect("it").note.clear(), "name its patient"),
            (|it| it.cloud_got.clear(), "requests to the provider"),
            (|it| it.local_got.push(FINDINGS[1].into()), "requests to the local server"),
            (|it| it.local_got[0] = "{}".into(), "was not asked what the run asked"),
            (|it| it.cloud_got[0].push_str("Lind"), "was sent the name of a patient"),
            (
                |it| it.notes[2].refused.as_mut().expect("it").status = 403,
                "the status of the third",
            ),
            (|it| it.notes[2].refused.as_mut().expect("it").detail.clear(), "not name the budget"),
        ];
        for (spoil, expected) in spoils {
            let mut evidence = good();
            spoil(&mut evidence);
            let found = broken_in_notes(&evidence);
            assert!(found.iter().any(|it| it.contains(expected)), "{expected}: {found:?}");
        }
    }
}
