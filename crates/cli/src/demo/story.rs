//! The demo's words: what happened, in the order in which it happened, and what it proves.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use wire::{DayLeft, LeftTo, SiteView};

use super::book::{Book, Held, REFUSED_EVERY, UNANSWERED_EVERY};
use super::clinics;
use super::notes::{self, BUDGET, CLOUD, Note};
use super::promise::{Evidence, Kill, Totals};
use super::truth::HeldOut;
use super::writer;

pub fn title(rows: u64, cases: u64) -> String {
    format!(
        "Tumour screening at one clinic: {cases} real cases in a file of {rows} rows, one durable run,\n\
         and a server that is killed in the middle of it.\n\n"
    )
}

pub fn service_up(url: &str) -> String {
    format!(
        "The clinic's referral service is up at {url}.\n  \
         It refuses every {REFUSED_EVERY}th request with 503, and leaves every {UNANSWERED_EVERY}th without an answer."
    )
}

pub fn site_up(pid: u32, url: &str) -> String {
    format!("A site is up: pid {pid}, {url}.")
}

pub fn model_added(name: &str, bytes: usize) -> String {
    format!(
        "It has a model on its disk: {name}, an ONNX file of {bytes} bytes, trained by a script of the repository."
    )
}

pub fn run_started(run: &str, version: &str, revision: &str) -> String {
    format!(
        "The run has begun: {run}\n  of clinic/tumour-screening {version}, revision {revision}.\n\n"
    )
}

pub fn killed(held: &Held, pid: u32) -> String {
    format!(
        "Request {} of the service, for the case in row {}: the referral is made, the answer held back.\n  \
         SIGKILL to pid {pid}. The site is gone.",
        held.request, held.row
    )
}

pub fn site_again(pid: u32, url: &str) -> String {
    format!("The site is started again on the same store: pid {pid}, {url}. The run goes on.\n\n")
}

/// What the run itself gave.
pub fn totals(totals: &Totals, seconds: f64, retries: u64, waits: &str) -> String {
    let mut text = format!("The run has completed after {seconds:.1} s. Its own totals:\n\n");
    let (read, broken) = (totals.read, totals.broken.len());
    let _ = writeln!(
        text,
        "  rows read    {read:>4}  =  {} cases + {broken} broken rows:",
        totals.screened
    );
    for row in &totals.broken {
        let _ =
            writeln!(text, "    row {:>4}   by {:<6}  {}", row.row, row.found, reason(&row.reason));
    }
    let _ = writeln!(text, "  referred     {:>4}  cases at risk", totals.referred);
    let _ = writeln!(text, "  tried again  {retries:>4}  times: {waits}\n");
    text.push_str(&held_out(&totals.held_out));
    text
}

/// What a schema complains of, without saying each time that a schema does.
fn reason(reason: &str) -> &str {
    reason.rsplit_once("schema: ").map_or(reason, |(_, what)| what)
}

fn held_out(half: &HeldOut) -> String {
    let line = |name: &str, malignant: &str, benign: &str| {
        format!("{name:<49}{malignant:>9}{benign:>9}\n")
    };
    let counts = |name: &str, malignant: u64, benign: u64| {
        line(name, &malignant.to_string(), &benign.to_string())
    };
    line(
        &format!("  On the {} cases that the model has not seen", half.cases),
        "malignant",
        "benign",
    ) + &counts("    referred", half.true_positives, half.false_positives)
        + &counts("    not referred", half.false_negatives, half.true_negatives)
        + &format!("    accuracy {:.1} %\n\n", half.accuracy * 100.0)
}

/// What the service outside has seen.
pub fn book(book: &Book) -> String {
    let mut by_requests: BTreeMap<u32, (u64, u64, u64)> = BTreeMap::new();
    for (_, entry) in book.entries() {
        let (keys, requests, effects) = by_requests.entry(entry.requests).or_default();
        *keys += 1;
        *requests += u64::from(entry.requests);
        *effects += entry.effects.len() as u64;
    }
    let at_the_kill = if book.held().is_some() { ", 1 at the kill" } else { "" };
    let mut text = format!(
        "The service's own book, of {} requests ({} refused, {} without an answer{at_the_kill}):\n\n  \
         idempotency keys         keys  requests  effects\n",
        book.requests(),
        book.refused(),
        book.unanswered(),
    );
    let mut line = |name: &str, (keys, requests, effects): (u64, u64, u64)| {
        let _ = writeln!(text, "    {name:<20} {keys:>6} {requests:>9} {effects:>8}");
    };
    let mut all = (0, 0, 0);
    for (times, group) in by_requests {
        let name =
            if times == 1 { "asked for once".into() } else { format!("asked for {times} times") };
        line(&name, group);
        all = (all.0 + group.0, all.1 + group.1, all.2 + group.2);
    }
    line("together", all);
    if let Some((held, entry)) = book.held().and_then(|held| Some((held, book.entry(&held.key)?))) {
        let _ = writeln!(
            text,
            "\n  The key of the kill, {}: requests {}, effects {}.\n",
            held.key,
            entry.requests,
            entry.effects.len()
        );
    }
    text
}

/// Three lines: what was proved. Only for evidence of which nothing is broken.
pub fn proved(evidence: &Evidence, totals: &Totals, kill: &Kill) -> String {
    let book = &evidence.book;
    let keys = book.entries().count();
    let repeated = book.entries().filter(|(_, entry)| entry.requests > 1).count();
    let held = book.held().map_or(0, |held| held.request);
    let half = &totals.held_out;
    format!(
        "proved: every row counted once: {} read = {} cases + {} broken ones, each reported by its number\n\
         proved: every effect done once: {} requests, {keys} referrals under {keys} keys, {repeated} of them asked for again\n\
         proved: the run outlived its server: pid {} killed at request {held}, pid {} went on; {} of {} unseen cases right, as the training script says",
        totals.read,
        totals.screened,
        totals.broken.len(),
        book.requests(),
        kill.pid,
        kill.pid_after,
        half.true_positives + half.true_negatives,
        half.cases,
    )
}

/// The second act.
pub fn clinics_title(clinics: &[(&str, u64)]) -> String {
    let parts: Vec<String> =
        clinics.iter().map(|(name, cases)| format!("{name} {cases}")).collect();
    format!(
        "\nThree clinics, one law: the same cases, each at one of three sites, and a hub that counts\n\
         them without seeing one ({}).\n\n",
        parts.join(", ")
    )
}

pub fn law_sent(sites: usize) -> String {
    format!("The hub has sent its workflow; {sites} sites have it. Each screens its own cases now.")
}

pub fn cut_off(name: &str, heard: u64, pid: u32) -> String {
    format!(
        "The line of {name} is cut: the hub has heard of {heard} of its runs.\n  \
         SIGKILL to pid {pid}. The hub is gone, too."
    )
}

pub fn went_on(name: &str, state: &str, waited: u64) -> String {
    format!("{name} has gone on alone: its run is {state}, and {waited} outcomes wait for the hub.")
}

pub fn hub_again(sites: &[SiteView]) -> String {
    format!("The hub is started again on the same store. What it knows now:\n\n{}\n", counts(sites))
}

pub fn caught_up(sites: &[SiteView]) -> String {
    format!("The line is mended. What the hub knows at the end:\n\n{}\n", counts(sites))
}

/// Counts by clinic, and how old they are: all that the hub has to show.
fn counts(sites: &[SiteView]) -> String {
    let mut text = String::new();
    for site in sites {
        let taken = site.taken.get("outcome").copied().unwrap_or(0);
        let _ =
            writeln!(text, "    {:<14} {:<8} outcomes {taken:>4}", site.site, site.state.name());
    }
    text
}

/// What has left a clinic, as it says itself.
pub fn left(name: &str, day: &DayLeft) -> String {
    let mut text =
        format!("What has left {name}, by its own count (`isonomy site left-today`):\n\n");
    for LeftTo { to, rule, times, bytes } in &day.items {
        let _ = writeln!(text, "    {to:<22} {rule:<14} {times:>5} times {bytes:>8} bytes");
    }
    text
}

/// Three lines more, only for evidence of which nothing is broken.
pub fn clinics_proved(evidence: &clinics::Evidence) -> String {
    let cases: u64 = evidence.clinics.iter().map(|it| it.cases).sum();
    let taken: u64 = evidence.clinics.iter().map(|it| it.taken).sum();
    format!(
        "proved: each case counted once at the hub: {taken} outcomes = {cases} cases + {} runs that began them\n\
         proved: a clinic needs nobody: {} outcomes waited while its line was cut and the hub dead, none lost\n\
         proved: not one value of a row at the hub: {} values looked for, all of them found at the clinics",
        evidence.clinics.len(),
        evidence.waited,
        evidence.values,
    )
}

/// The third act.
pub fn notes_title(cloud: &str, local: &str) -> String {
    format!(
        "\nNotes by language models: a workflow asks `writer`, a route over a model at a provider and one at the site.\n  \
         Both are small servers of this demo, at {cloud} and {local}. They are no real language\n  \
         models, whose weights cannot be had everywhere; all else is real. The team may spend {BUDGET}.\n\n"
    )
}

/// How a note came about: whom its model was told of, and what the run has.
pub fn note(number: usize, patient: &str, note: &Note, got: Option<&String>) -> String {
    let mut text = format!("Note {number}, for {patient}: the run is {}.\n", note.state);
    if let Some(told) = got.and_then(|body| writer::told(body)) {
        let _ = writeln!(text, "    the model was told of  {told}");
    }
    if let Some(written) = &note.written {
        let _ = writeln!(text, "    {} wrote     {}", written.model, written.note);
    }
    if let Some(refused) = &note.refused {
        let _ = writeln!(text, "    {}", refused.detail);
    }
    text
}

/// What calls find where the provider was, and what `isonomy models show` says then.
pub fn cloud_rests(outage: &notes::Outage) -> String {
    let why = outage.state.as_ref().map_or("", |(_, why)| why);
    format!(
        "The provider's server is stopped. {} calls find nobody there, and {CLOUD} rests:\n    {why}\n",
        outage.tried.len(),
    )
}

/// Three lines more, only for evidence of which nothing is broken.
pub fn notes_proved(evidence: &notes::Evidence) -> String {
    let got = evidence.cloud_got.len() + evidence.local_got.len();
    let written = evidence.notes.iter().filter(|it| it.written.is_some()).count();
    format!(
        "proved: no name left: none of {} patients' names in {got} requests to models, and {written} notes name their patient\n\
         proved: a provider may die: after {} calls in vain it was not asked again, and the next note was written by writer-local, marked degraded\n\
         proved: a budget holds: the third note was refused before it was sent, and {got} requests is all that servers got",
        evidence.patients.len(),
        evidence.outage.tried.len(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mutation: add up requests where effects stand, or leave a group out.
    #[test]
    fn the_book_is_told_by_how_often_a_key_was_asked_for() {
        let mut kept = Book::new(Some(3));
        for (key, row) in [("a", 1), ("b", 2), ("c", 3), ("c", 3), ("c", 3)] {
            kept.take(key, row);
        }
        let expected = "\
The service's own book, of 5 requests (0 refused, 0 without an answer, 1 at the kill):

  idempotency keys         keys  requests  effects
    asked for once            2         2        2
    asked for 3 times         1         3        1
    together                  3         5        3

  The key of the kill, c: requests 3, effects 1.

";
        assert_eq!(book(&kept), expected);
    }
}
