//! `isonomy runs logs`: what the processes of a run have written, as text or piece by piece.

use std::collections::{BTreeSet, HashMap};

use futures::StreamExt as _;
use gateway::operator::OperatorError;
use spec::near;
use wire::LogView;

use crate::api::Api;
use crate::args::logs::LogsOf;
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::follow::{Tries, is_passing, reason};
use crate::interrupt::Interrupt;
use crate::output::{self, Format};

/// Pieces of a log that are asked for at once: the most that a site gives.
const PIECES_PAGE: u32 = 500;

/// Tasks that are named to whoever has named none of them.
const NAMED_MAX: usize = 20;

/// Prints a log, piece by piece.
pub struct Printer {
    format: Format,
    /// Whether pieces of several processes may come.
    of_all: bool,
    /// Whose piece came last.
    last: Option<(String, u64, u64)>,
    /// Where each process's log has come to.
    ends: HashMap<(u64, u64), u64>,
    /// Whether the last piece ended within a line.
    within_line: bool,
    /// Whether anything came.
    has_any: bool,
}

impl Printer {
    #[must_use]
    pub fn new(format: Format, of_all: bool) -> Self {
        Self {
            format,
            of_all,
            last: None,
            ends: HashMap::new(),
            within_line: false,
            has_any: false,
        }
    }

    pub fn print(&mut self, piece: &LogView) -> Outcome<()> {
        self.has_any = true;
        match self.format {
            Format::Text => {
                let text = self.text(piece);
                output::write_exact(&text)
            }
            Format::Json | Format::Yaml => output::show_next(self.format, piece, String::new),
        }
    }

    /// The piece with what must be said before it: whose it is, and what is missing.
    fn text(&mut self, piece: &LogView) -> String {
        let mut text = String::new();
        let whose = (piece.activation.clone(), piece.effect, piece.life);
        let mut own_line = |line: &str, within_line: &mut bool| {
            if *within_line {
                text.push('\n');
            }
            text.push_str(line);
            text.push('\n');
            *within_line = false;
        };
        if self.last.as_ref() != Some(&whose) {
            let before = self
                .ends
                .keys()
                .any(|(effect, life)| *effect == piece.effect && *life != piece.life);
            let again = if before { " (again)" } else { "" };
            if self.of_all || before {
                let head = format!("==> {}{again} <==", output::harmless(&piece.activation));
                own_line(&head, &mut self.within_line);
            }
            self.last = Some(whose);
        }
        let end = self.ends.entry((piece.effect, piece.life)).or_insert(0);
        if piece.start > *end {
            let gap = format!("[… {} bytes were not kept …]", piece.start - *end);
            own_line(&gap, &mut self.within_line);
        }
        *end = piece.start + piece.bytes;
        text.push_str(&output::harmless(&piece.text));
        self.within_line = !piece.text.is_empty() && !piece.text.ends_with('\n');
        text
    }
}

/// All that is there now.
pub async fn list(api: &Api, of: &LogsOf, printer: &mut Printer) -> Outcome<()> {
    let mut after = 0;
    loop {
        let page = api.run_logs(of, after, PIECES_PAGE).await?;
        page.items.iter().try_for_each(|piece| printer.print(piece))?;
        match page.next.and_then(|next| next.parse().ok()) {
            Some(next) => after = next,
            None => return said_something(api, of, printer).await,
        }
    }
}

/// A name that no log knows is a mistake, and not a task that was silent.
async fn said_something(api: &Api, of: &LogsOf, printer: &Printer) -> Outcome<()> {
    let Some(task) = of.task.as_ref().filter(|_| !printer.has_any) else { return Ok(()) };
    let mut names: BTreeSet<String> = BTreeSet::new();
    let (all, mut after) = (LogsOf { run: of.run, task: None }, 0);
    while names.len() < NAMED_MAX {
        let page = api.run_logs(&all, after, PIECES_PAGE).await?;
        names.extend(page.items.iter().map(|piece| named_as(task, &piece.activation)));
        let Some(next) = page.next.and_then(|next| next.parse().ok()) else { break };
        after = next;
    }
    let message = format!("no task `{task}` of {} has written anything", of.run);
    let known: Vec<&str> = names.iter().map(String::as_str).take(NAMED_MAX).collect();
    let quoted: Vec<String> = known.iter().map(|name| format!("`{name}`")).collect();
    let hint = match known.is_empty() {
        true => "no task of this run has".to_owned(),
        false => near::hint(task, known.iter().copied())
            .unwrap_or_else(|| format!("there is output of {}", quoted.join(", "))),
    };
    Err(Failure::usage(message).hint(hint))
}

/// What a log is called in the way in which `wanted` names one: by its task, or by its activation.
fn named_as(wanted: &str, activation: &str) -> String {
    if wanted.starts_with('/') {
        return activation.to_owned();
    }
    let last = activation.rsplit('/').next().unwrap_or(activation);
    last.split(['#', '[', '!', '*', '.']).next().unwrap_or(last).to_owned()
}

/// All that is there, and what comes until the run ends, and with it all that it has begun.
pub async fn follow(
    api: &mut Api,
    of: &LogsOf,
    interrupt: &mut Interrupt,
    printer: &mut Printer,
) -> Outcome {
    let mut after: Option<String> = None;
    let mut tries = Tries::default();
    let mut met = false;
    loop {
        let why = match part(api, of, interrupt, printer, &mut after, &mut tries, &mut met).await? {
            Part::Interrupted => return Ok(Exit::Interrupted),
            Part::Ended => match api.run_show(of.run).await {
                Ok(detail) if detail.view.ended_at.is_some() || detail.view.suspended.is_some() => {
                    said_something(api, of, printer).await?;
                    return Ok(Exit::Ok);
                }
                Ok(_) | Err(_) => "it ended the stream".to_owned(),
            },
            Part::Lost(why) => why,
        };
        if !tries.again(api, interrupt, &why, Some(of.run)).await? {
            return Ok(Exit::Interrupted);
        }
    }
}

enum Part {
    /// The site has no more to tell.
    Ended,
    Interrupted,
    Lost(String),
}

async fn part(
    api: &Api,
    of: &LogsOf,
    interrupt: &mut Interrupt,
    printer: &mut Printer,
    after: &mut Option<String>,
    tries: &mut Tries,
    met: &mut bool,
) -> Outcome<Part> {
    let events = tokio::select! {
        events = api.run_logs_follow(of, after.as_deref()) => events,
        () = interrupt.wait() => return Ok(Part::Interrupted),
    };
    let mut events = match events {
        Ok(events) => events,
        Err(error) if *met && is_passing(&error) => return Ok(Part::Lost(reason(error))),
        Err(error) => return Err(api.explain(error)),
    };
    *met = true;
    loop {
        let next = tokio::select! {
            next = events.next() => next,
            () = interrupt.wait() => return Ok(Part::Interrupted),
        };
        let event = match next {
            Some(Ok(event)) => event,
            Some(Err(error)) if is_passing(&error) => return Ok(Part::Lost(reason(error))),
            Some(Err(error)) => return Err(api.explain(error)),
            None => return Ok(Part::Ended),
        };
        let piece: LogView = serde_json::from_str(&event.data)
            .map_err(|cause| Failure::from(OperatorError::Json(cause)))?;
        *tries = Tries::default();
        *after = Some(piece.position.to_string());
        printer.print(&piece)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(effect: u64, start: u64, text: &str) -> LogView {
        LogView {
            position: 1,
            activation: format!("/task-{effect}"),
            effect,
            life: 1,
            stream: "stdout".to_owned(),
            at: "2027-01-15T08:00:00.000Z".to_owned(),
            start,
            bytes: text.len() as u64,
            text: text.to_owned(),
        }
    }

    /// Mutation: count a gap from the last piece of another process, or let a heading stand within a
    /// line.
    #[test]
    fn a_log_says_whose_it_is_and_what_is_missing() {
        let mut printer = Printer::new(Format::Text, true);
        let again = LogView { life: 2, ..piece(1, 0, "once more\n") };
        let pieces = [
            piece(1, 0, "a\nb"),
            piece(1, 3, "c\n"),
            piece(2, 0, "other\x1b[2J\n"),
            piece(1, 100, "end"),
            again,
        ];
        let text: String = pieces.iter().map(|piece| printer.text(piece)).collect();
        assert_eq!(
            text,
            "==> /task-1 <==\na\nbc\n==> /task-2 <==\nother\u{fffd}[2J\n==> /task-1 <==\n\
             [… 95 bytes were not kept …]\nend\n==> /task-1 (again) <==\nonce more\n"
        );
    }

    /// Mutation: head the log of a single task.
    #[test]
    fn the_log_of_one_task_is_what_it_wrote() {
        let mut printer = Printer::new(Format::Text, false);
        assert_eq!(printer.text(&piece(1, 0, "only this\n")), "only this\n");
    }
}
