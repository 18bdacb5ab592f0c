//! The table of W1 beside its peers: which figure stands where, and what is judged.

use super::super::comparison::{Bound, Comparison, Row, Target};
use super::super::machine::Machine;
use super::super::process::{Resident, mebibytes};
use super::super::workflow::STEPS;
use super::fsyncs::{Both, Counted};
use super::notes;
use super::steps::{Measured, Round, Steps};
use super::{LANGGRAPH, OURS, RESTATE, SQLITE};

/// Of one engine, one for each round.
type Cell = Vec<Option<f64>>;

/// How many runs at once, and where their figures are.
struct Column {
    name: &'static str,
    measured: fn(&Steps) -> &Measured,
    counted: fn(&Both) -> Counted,
    own: fn(&[f64; 2]) -> f64,
}

const ONE: Column =
    Column { name: "one at a time", measured: |it| &it.one, counted: |it| it.one, own: |it| it[0] };

const CROWD: Column = Column {
    name: "64 at once",
    measured: |it| &it.crowd,
    counted: |it| it.crowd,
    own: |it| it[1],
};

pub fn comparison(
    machine: Machine,
    seconds: u64,
    sdk: &str,
    rounds: &[Round],
    counted: Option<&[Both; 2]>,
) -> Comparison {
    let title =
        format!("W1: {STEPS} durable steps a run, {} rounds of {seconds} s in turn", rounds.len());
    let mut rows = vec![Row::new(
        "rows/s at one row a commit: `phys.py`",
        0,
        vec![vec![], vec![], vec![], each(rounds, |it| Some(it.phys.rows_per_second))],
    )];
    rows.push(Row::new(
        "the same by our own program",
        0,
        vec![vec![], vec![], vec![], each(rounds, |it| Some(it.floor))],
    ));
    rows.extend(rows_of(&ONE, rounds, counted));
    rows.extend(rows_of(&CROWD, rounds, counted));
    rows.push(memory("resident right after the load, MiB", rounds, |it| it.whole));
    rows.push(memory("of it anonymous, MiB", rounds, |it| it.anonymous));
    Comparison {
        title,
        machine,
        engines: vec![OURS, RESTATE, LANGGRAPH, SQLITE],
        rows,
        notes: rounds.last().map(|round| notes(round, sdk)).unwrap_or_default(),
        targets: targets(rounds),
    }
}

fn notes(round: &Round, sdk: &str) -> Vec<super::super::comparison::Note> {
    let restate = format!("{}, Rust SDK {sdk}", round.restate.version);
    notes::of_steps([&round.ours.version, &restate, &round.langgraph.version, &round.phys.name])
}

fn rows_of(column: &Column, rounds: &[Round], counted: Option<&[Both; 2]>) -> Vec<Row> {
    let engines = |what: fn(&Measured) -> Option<f64>| -> Vec<Cell> {
        let of = |engine: fn(&Round) -> &Steps| {
            each(rounds, |round| what((column.measured)(engine(round))))
        };
        vec![of(|it| &it.ours), of(|it| &it.restate), of(|it| &it.langgraph), vec![]]
    };
    let own =
        |figures: fn(&Round) -> &[f64; 2]| each(rounds, |round| Some((column.own)(figures(round))));
    let peers = |what: fn(Counted) -> f64| {
        let of = |index: usize| counted.map(|both| what((column.counted)(&both[index])));
        [0, 1].map(|index| vec![of(index)])
    };
    let [restate, langgraph] = peers(|it| it.fsyncs_per_step);
    let fsyncs = vec![own(|it| &it.fsyncs), restate, langgraph, vec![Some(1.0)]];
    let [restate, langgraph] = peers(|it| it.steps_per_second);
    let slowed = vec![vec![], restate, langgraph, vec![]];
    let commits = vec![own(|it| &it.commits), vec![], vec![], vec![Some(1.0)]];
    let row = |what: &str, digits: usize, cells: Vec<Cell>| {
        Row::new(format!("{what}, {}", column.name), digits, cells)
    };
    vec![
        row("**steps/s**", 0, engines(|it| Some(it.said.steps_per_second))),
        row("a run of ten steps, p50 ms", 1, engines(|it| Some(it.said.p50_ms))),
        row("a run of ten steps, p99 ms", 1, engines(|it| Some(it.said.p99_ms))),
        row("server's processor time, µs/step", 0, engines(Measured::server_us)),
        row("the SDK process's, µs/step", 0, engines(Measured::worker_us)),
        row("the load generator's, µs/step", 0, engines(Measured::generator_us)),
        row("bytes written/step", 0, engines(Measured::written)),
        row("commits/step", 2, commits),
        row("fsyncs/step", 3, fsyncs),
        row("steps/s while `strace` counted them", 0, slowed),
    ]
}

fn memory(what: &str, rounds: &[Round], figure: fn(Resident) -> u64) -> Row {
    let mebibytes = |it: Resident| mebibytes(figure(it));
    let of = |engine: fn(&Round) -> &Steps| each(rounds, |it| engine(it).memory.map(mebibytes));
    let cells = vec![of(|it| &it.ours), of(|it| &it.restate), of(|it| &it.langgraph), vec![]];
    Row::new(what, 1, cells)
}

fn each(rounds: &[Round], figure: impl Fn(&Round) -> Option<f64>) -> Cell {
    rounds.iter().map(figure).collect()
}

/// Ratios within a round, so that a machine that is busy for a while is so for both.
fn targets(rounds: &[Round]) -> Vec<Target> {
    let target = |what, bound, ratio: fn(&Round) -> Option<f64>| Target {
        what,
        bound,
        values: rounds.iter().filter_map(ratio).collect(),
    };
    vec![
        target("one at a time, of `phys.py` at one row a commit", Bound::ShareOfLimit(0.7), |it| {
            Some(it.ours.one.said.steps_per_second / it.phys.rows_per_second)
        }),
        target("64 at once, times Restate", Bound::AtLeast(4.0), |it| {
            Some(crowd(&it.ours) / crowd(&it.restate))
        }),
        target("64 at once, times LangGraph with SQLite", Bound::AtLeast(20.0), |it| {
            Some(crowd(&it.ours) / crowd(&it.langgraph))
        }),
        target("server's processor time a step at 64, of Restate's", Bound::AtMost(0.125), |it| {
            Some(it.ours.crowd.server_us()? / it.restate.crowd.server_us()?)
        }),
    ]
}

fn crowd(steps: &Steps) -> f64 {
    steps.crowd.said.steps_per_second
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::phys::Floor;
    use super::super::said::Said;
    use super::super::steps::Cost;
    use super::*;

    fn steps(speed: f64, server_ms: u64) -> Steps {
        let said = Said { runs: 100, steps_per_second: speed, p50_ms: 1.0, p99_ms: 2.0 };
        let server = Some(Duration::from_millis(server_ms));
        let measured = Measured::new(said, Cost { server, ..Cost::default() });
        Steps { one: measured, crowd: measured, memory: None, version: "v".to_owned() }
    }

    /// Mutation: divide medians instead of the figures of one round, or by the wrong peer.
    #[test]
    fn ratios_are_taken_within_a_round() {
        let round = |factor: f64| Round {
            phys: Floor { rows_per_second: 20_000.0 * factor, name: "sqlite".to_owned() },
            floor: 1.0,
            ours: steps(15_000.0 * factor, 100),
            restate: steps(3_000.0 * factor, 1_000),
            langgraph: steps(1_000.0 * factor, 2_000),
            commits: [1.1, 1.1],
            fsyncs: [1.1, 0.05],
        };
        let counted = Counted { fsyncs_per_step: 0.25, steps_per_second: 900.0 };
        let both = || Both { one: counted, crowd: counted };
        let machine = Machine::default();
        let rounds = [round(1.0), round(2.0)];
        let text = comparison(machine, 5, "0.13.0", &rounds, Some(&[both(), both()])).markdown();
        for line in [
            "| one at a time, of `phys.py` at one row a commit | ≥ 0.7 | 0.75 | met |",
            "| 64 at once, times Restate | ≥ 4 | 5.00 | met |",
            "| 64 at once, times LangGraph with SQLite | ≥ 20 | 15.00 | **missed** |",
            "| server's processor time a step at 64, of Restate's | ≤ 0.125 | 0.10 | met |",
            "| server's processor time, µs/step, 64 at once | 100 | 1,000 | 2,000 | – |",
            "| fsyncs/step, 64 at once | 0.050 | 0.250 | 0.250 | 1.000 |",
            "| version | v | v, Rust SDK 0.13.0 | v | sqlite |",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
    }
}
