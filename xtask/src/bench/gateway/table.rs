//! The figures, for people and for whoever compares.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::super::machine::Machine;
use super::place::Target;
use super::{Measured, OPEN, Open, Options, Own, STREAMS_A_SECOND, median};

type Row<'a> = (&'a Target, &'a Vec<Measured>);

/// The most and the least of all rounds say how quiet it was.
fn span(numbers: impl Iterator<Item = f64> + Clone) -> String {
    let least = numbers.clone().fold(f64::INFINITY, f64::min);
    let most = numbers.clone().fold(0.0, f64::max);
    format!("{:.1} ({least:.1} to {most:.1})", median(numbers))
}

/// What the first row of the same kind takes, by the pairs of each round.
fn ratio(bare: &[Measured], row: &[Measured]) -> f64 {
    median(bare.iter().zip(row).map(|(bare, it)| bare.micros / it.micros))
}

pub fn markdown(
    machine: &Machine,
    options: &Options,
    rows: &[Row<'_>],
    own: &[Own],
    first: &[(&str, Measured)],
    open: &Open,
) -> String {
    let mut text = format!(
        "medians of {} rounds of {} s, in turn, one core each; {machine}\n\n| | µs of processor time a call | calls/s a core | of the bare proxy | calls/s here | p50, p99 ms |\n|---|---|---|---|---|---|\n",
        options.repeats, options.seconds
    );
    for (target, row) in rows {
        // The first before the same upstream.
        let bare = rows.iter().find(|(it, _)| it.is_slow == target.is_slow);
        let bare = bare.map_or(&[][..], |(_, it)| it.as_slice());
        let of = |what: fn(&Measured) -> f64| median(row.iter().map(what));
        let micros = row.iter().map(|it| it.micros);
        // Writing into a string cannot fail.
        let _ = writeln!(
            text,
            "| {} | {} | {:.0} | {:.3} | {:.0} | {:.2}, {:.2} |",
            target.name,
            span(micros.clone()),
            1e6 / median(micros),
            ratio(bare, row),
            of(|it| it.calls_a_second),
            of(|it| it.p50 as f64) / 1e3,
            of(|it| it.p99 as f64) / 1e3,
        );
    }
    text.push('\n');
    for Own { name, rate, p50, p99 } in own {
        let _ =
            writeln!(text, "own time, {name}, at {rate:.0} calls/s: p50 {p50} µs, p99 {p99} µs");
    }
    for (name, it) in first {
        let (p50, p99) = (it.first_p50, it.first_p99);
        let _ = writeln!(
            text,
            "first byte of a stream at {STREAMS_A_SECOND:.0} a second, {name}: p50 {p50} µs, p99 {p99} µs; {:.0} µs of processor time a stream",
            it.micros
        );
    }
    let _ = writeln!(
        text,
        "{OPEN} open streams: {:.1} MiB resident, {:.1} before them",
        open.during, open.before
    );
    text
}

pub fn json(
    machine: &Machine,
    options: &Options,
    rows: &[Row<'_>],
    own: &[Own],
    first: &[(&str, Measured)],
    open: &Open,
) -> Value {
    let measured = |it: &Measured| {
        json!({
            "callsPerSecond": it.calls_a_second, "processorMicros": it.micros,
            "p50Micros": it.p50, "p99Micros": it.p99,
            "firstP50Micros": it.first_p50, "firstP99Micros": it.first_p99,
        })
    };
    let of_own = |it: &Own| {
        json!({
            "name": it.name, "callsPerSecond": it.rate,
            "p50Micros": it.p50, "p99Micros": it.p99,
        })
    };
    let rounds = |(target, all): &Row<'_>| json!({"name": target.name, "rounds": all.iter().map(measured).collect::<Vec<_>>()});
    let first = first.iter().map(|(name, it)| json!({"name": name, "measured": measured(it)}));
    json!({
        "machine": machine.json(), "seconds": options.seconds,
        "rows": rows.iter().map(rounds).collect::<Vec<_>>(),
        "own": own.iter().map(of_own).collect::<Vec<_>>(),
        "first": first.collect::<Vec<_>>(),
        "open": {"streams": OPEN, "beforeMiB": open.before, "duringMiB": open.during},
    })
}
