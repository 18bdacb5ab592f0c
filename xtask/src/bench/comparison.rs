//! A comparison: engines side by side, each figure once for every round. One table for people, one
//! JSON value for whoever compares.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use super::machine::Machine;

pub struct Comparison {
    pub title: String,
    pub machine: Machine,
    pub engines: Vec<&'static str>,
    pub rows: Vec<Row>,
    /// What figures do not say, for each engine.
    pub notes: Vec<Note>,
    pub targets: Vec<Target>,
}

pub struct Row {
    what: String,
    digits: usize,
    /// For each engine the figures of all rounds; none where there is no figure.
    cells: Vec<Vec<f64>>,
}

pub struct Note {
    pub what: &'static str,
    pub cells: Vec<String>,
}

/// A number that we build for, and the ratios or figures of all rounds.
pub struct Target {
    pub what: &'static str,
    pub bound: Bound,
    pub values: Vec<f64>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Bound {
    AtLeast(f64),
    AtMost(f64),
    /// At least this much of a physical limit. More than all of it, in any round, says that the limit
    /// was measured while the machine was busier, and nothing else.
    ShareOfLimit(f64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Met,
    Missed,
    /// What was measured cannot be.
    Void,
}

impl Row {
    /// A round without a figure is left out of its cell.
    pub fn new<Cell>(what: impl Into<String>, digits: usize, cells: Vec<Cell>) -> Self
    where
        Cell: IntoIterator<Item = Option<f64>>,
    {
        let cells = cells.into_iter().map(|cell| cell.into_iter().flatten().collect()).collect();
        Self { what: what.into(), digits, cells }
    }
}

impl Target {
    /// Judged by the median; nothing measured is nothing met.
    fn verdict(&self) -> Verdict {
        let Some(value) = median(&self.values) else { return Verdict::Missed };
        let is_met = match self.bound {
            Bound::AtLeast(bound) => value >= bound,
            Bound::AtMost(bound) => value <= bound,
            Bound::ShareOfLimit(_) if self.values.iter().any(|value| *value > 1.0) => {
                return Verdict::Void;
            }
            Bound::ShareOfLimit(bound) => value >= bound,
        };
        if is_met { Verdict::Met } else { Verdict::Missed }
    }

    fn asked(&self) -> String {
        match self.bound {
            Bound::AtLeast(bound) | Bound::ShareOfLimit(bound) => format!("≥ {bound}"),
            Bound::AtMost(bound) => format!("≤ {bound}"),
        }
    }
}

impl Verdict {
    const fn text(self) -> &'static str {
        match self {
            Self::Met => "met",
            Self::Missed => "**missed**",
            Self::Void => "not judged: the machine was busier while the limit was measured",
        }
    }

    const fn met(self) -> Option<bool> {
        match self {
            Self::Met => Some(true),
            Self::Missed => Some(false),
            Self::Void => None,
        }
    }
}

impl Comparison {
    #[must_use]
    pub fn markdown(&self) -> String {
        let mut text = format!("{}; median (least to most)\n\n{}\n\n", self.title, self.machine);
        line(&mut text, "what", self.engines.iter().map(|name| (*name).to_owned()));
        line(&mut text, "---", self.engines.iter().map(|_| "---".to_owned()));
        for row in &self.rows {
            line(&mut text, &row.what, row.cells.iter().map(|cell| shown(cell, row.digits)));
        }
        for note in &self.notes {
            line(&mut text, note.what, note.cells.iter().cloned());
        }
        if !self.targets.is_empty() {
            text.push_str("\n| what we build for | asked | here | |\n|---|---|---|---|\n");
        }
        for target in &self.targets {
            let verdict = target.verdict().text().to_owned();
            let cells = [target.asked(), shown(&target.values, 2), verdict];
            line(&mut text, target.what, cells.into_iter());
        }
        text
    }

    #[must_use]
    pub fn json(&self) -> Value {
        let named = |cells: Vec<Value>| -> Map<String, Value> {
            self.engines.iter().map(|name| (*name).to_owned()).zip(cells).collect()
        };
        let rows = self.rows.iter().map(|row| {
            let cells = row.cells.iter().map(|cell| json!(cell)).collect();
            json!({ "what": row.what, "rounds": named(cells) })
        });
        let notes = self.notes.iter().map(|note| {
            let cells = note.cells.iter().map(|cell| json!(cell)).collect();
            json!({ "what": note.what, "engines": named(cells) })
        });
        let targets = self.targets.iter().map(|target| {
            let (asked, verdict) = (target.asked(), target.verdict());
            json!({ "what": target.what, "asked": asked, "rounds": target.values, "met": verdict.met() })
        });
        json!({
            "title": self.title,
            "machine": self.machine.json(),
            "rows": rows.collect::<Vec<_>>(),
            "notes": notes.collect::<Vec<_>>(),
            "targets": targets.collect::<Vec<_>>(),
        })
    }
}

/// The upper of the two in the middle, so that it is a figure that was measured.
#[must_use]
pub fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied()
}

fn shown(values: &[f64], digits: usize) -> String {
    let Some(median) = median(values) else { return "–".to_owned() };
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let text = |value: f64| grouped(&format!("{value:.digits$}"));
    let (least, middle, most) = (text(least), text(median), text(most));
    if least == most { middle } else { format!("{middle} ({least} to {most})") }
}

/// `12345.6` as `12,345.6`.
fn grouped(number: &str) -> String {
    let (whole, rest) = number.split_at(number.find('.').unwrap_or(number.len()));
    let mut text = String::new();
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text + rest
}

fn line(text: &mut String, what: &str, cells: impl Iterator<Item = String>) {
    let _ = write!(text, "| {what} |");
    for cell in cells {
        let _ = write!(text, " {cell} |");
    }
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn comparison() -> Comparison {
        let some = |values: &[f64]| values.iter().copied().map(Some).collect::<Vec<_>>();
        let speed = vec![some(&[30_000.0, 20_000.0, 25_000.0]), some(&[5.0]), Vec::new()];
        let ratio = |bound| Target { what: "of it", bound, values: vec![5.0, 3.0, 4.5] };
        Comparison {
            title: "W0".to_owned(),
            machine: Machine::default(),
            engines: vec!["ours", "theirs", "another"],
            rows: vec![Row::new("steps/s", 0, speed)],
            notes: vec![Note { what: "is", cells: vec!["a".into(), "b".into(), "c".into()] }],
            targets: vec![ratio(Bound::AtLeast(4.0)), ratio(Bound::AtMost(4.0))],
        }
    }

    /// Mutation: show the mean for the median, or a zero where nothing was measured.
    #[test]
    fn a_cell_shows_median_least_and_most() {
        let text = comparison().markdown();
        for line in [
            "| what | ours | theirs | another |",
            "| steps/s | 25,000 (20,000 to 30,000) | 5 | – |",
            "| is | a | b | c |",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
    }

    /// Mutation: judge by the best round, or call a target met that was not measured.
    #[test]
    fn a_target_is_judged_by_the_median() {
        let text = comparison().markdown();
        assert!(text.contains("| of it | ≥ 4 | 4.50 (3.00 to 5.00) | met |"), "{text}");
        assert!(text.contains("| of it | ≤ 4 | 4.50 (3.00 to 5.00) | **missed** |"), "{text}");
        let none = Target { what: "none", bound: Bound::AtMost(1.0), values: Vec::new() };
        assert_eq!(none.verdict(), Verdict::Missed);
    }

    /// Mutation: call a share of more than the whole limit a success, or look at the median alone.
    #[test]
    fn nobody_is_faster_than_the_limit() {
        let share = |value: f64| {
            let values = vec![value, 0.9, 0.6];
            Target { what: "of it", bound: Bound::ShareOfLimit(0.7), values }.verdict()
        };
        assert_eq!(share(0.8), Verdict::Met);
        assert_eq!(share(0.5), Verdict::Missed);
        assert_eq!((share(1.2), share(1.2).met()), (Verdict::Void, None));
    }

    /// Mutation: put the figures of one engine under the name of another.
    #[test]
    fn the_json_has_every_round_by_engine() {
        let json = comparison().json();
        assert_eq!(json["rows"][0]["rounds"]["ours"], json!([30_000.0, 20_000.0, 25_000.0]));
        assert_eq!(json["rows"][0]["rounds"]["another"], json!([]));
        assert_eq!(json["targets"][1]["met"], json!(false));
    }

    /// Mutation: take the middle of what was measured in its order.
    #[test]
    fn a_median_is_of_sorted_values() {
        assert_eq!(median(&[9.0, 1.0, 5.0]), Some(5.0));
        assert_eq!(median(&[]), None);
        assert_eq!(grouped("1234567.25"), "1,234,567.25");
        assert_eq!(grouped("123"), "123");
    }
}
