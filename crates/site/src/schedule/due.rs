//! When a schedule is due, and what becomes of times that nobody kept. Plain functions of what is
//! known; the clock is an argument.

use base::{Digest, Duration, RunId, Timestamp};
use spec::tree::schedule::Missed;
use store::ScheduleRow;

use super::definition::{Beat, Definition};

/// A time that is past for no longer than this was kept late, and not missed: a start of the site
/// takes a moment, and so does a full disk.
const LATE_MAX: Duration = Duration::from_secs(60);

/// With `missed: all`, times that are caught up. Older ones are left out: nobody wants a minute's
/// beat of a whole year at once.
pub(crate) const CAUGHT_UP_MAX: usize = 1_000;

/// What a look at the clock leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Due {
    /// A run begins for this time.
    pub fire: Option<Timestamp>,
    /// The time after that. `None` where the end of that run says when.
    pub next: Option<Timestamp>,
    /// Some times were left out.
    pub has_missed: bool,
}

/// The first time of a trigger that begins at `since`.
pub(crate) fn first(definition: &Definition, since: Timestamp) -> Option<Timestamp> {
    match &definition.beat {
        Beat::Every(interval) => Some(since.plus(*interval)),
        Beat::Cron(cron) => cron.next(since),
        Beat::After(delay) => Some(since.plus(*delay)),
        Beat::On(_) => None,
    }
}

/// What to do about a row whose time may have come. Nothing where it has not.
pub(crate) fn due(definition: &Definition, row: &ScheduleRow, now: Timestamp) -> Option<Due> {
    let at = row.next_at.filter(|at| *at <= now)?;
    let missed = match &definition.beat {
        // There is one time only, and the next follows from its run.
        Beat::After(_) => return Some(Due { fire: Some(at), next: None, has_missed: false }),
        Beat::Every(_) | Beat::Cron(_) => definition.missed,
        // Whoever hears events does not wait for a time.
        Beat::On(_) => return None,
    };
    // The clock may have been set back since the row was written.
    let newest =
        last(&definition.beat, row.since, now).filter(|newest| *newest >= at).unwrap_or(at);
    let is_late = now.since(newest) <= LATE_MAX;
    Some(match missed {
        Missed::All => {
            let oldest = oldest_caught_up(&definition.beat, row.since, at, newest);
            let next = following(&definition.beat, row.since, oldest);
            Due { fire: Some(oldest), next, has_missed: oldest > at }
        }
        Missed::Once => {
            let next = following(&definition.beat, row.since, newest);
            Due { fire: Some(newest), next, has_missed: newest > at }
        }
        Missed::Skip => {
            let next = following(&definition.beat, row.since, newest);
            Due { fire: is_late.then_some(newest), next, has_missed: newest > at || !is_late }
        }
    })
}

fn following(beat: &Beat, since: Timestamp, at: Timestamp) -> Option<Timestamp> {
    match beat {
        Beat::Every(interval) => {
            let beats = at.since(since).as_millis() / interval.as_millis().max(1);
            Some(since.plus(interval.saturating_mul(beats + 1)))
        }
        Beat::Cron(cron) => cron.next(at),
        Beat::After(_) | Beat::On(_) => None,
    }
}

/// The last time that is not after `now`.
fn last(beat: &Beat, since: Timestamp, now: Timestamp) -> Option<Timestamp> {
    match beat {
        Beat::Every(interval) => {
            let beats = now.since(since).as_millis() / interval.as_millis().max(1);
            (beats > 0).then(|| since.plus(interval.saturating_mul(beats)))
        }
        Beat::Cron(cron) => cron.last(now),
        Beat::After(_) | Beat::On(_) => None,
    }
}

/// `at`, or a later time from which on there are no more than can be caught up.
fn oldest_caught_up(beat: &Beat, since: Timestamp, at: Timestamp, newest: Timestamp) -> Timestamp {
    let mut oldest = newest;
    for _ in 1..CAUGHT_UP_MAX {
        let before = Timestamp::from_millis(oldest.as_millis() - 1);
        match last(beat, since, before).filter(|before| *before > at) {
            Some(before) => oldest = before,
            None => return at,
        }
    }
    oldest
}

/// The run of a time, so that beginning it twice is beginning it once.
pub(crate) fn run_id(row: &ScheduleRow, at: Timestamp) -> RunId {
    derived(row, at, &[&at.as_millis().to_string()])
}

/// The run of a set of events, by their positions; `at` is when the last of them has come.
pub(crate) fn run_id_of_events(row: &ScheduleRow, at: Timestamp, positions: &[u64]) -> RunId {
    let since = row.since.as_millis().to_string();
    let positions: Vec<String> = positions.iter().map(u64::to_string).collect();
    let which: Vec<&str> =
        [since.as_str()].into_iter().chain(positions.iter().map(|it| &**it)).collect();
    derived(row, at, &which)
}

fn derived(row: &ScheduleRow, at: Timestamp, which: &[&str]) -> RunId {
    let (namespace, name) = (row.key.namespace.as_str(), row.key.name.as_str());
    let mut text = Vec::new();
    for part in ["isonomy.schedule", namespace, name, &row.trigger].iter().chain(which) {
        text.extend_from_slice(part.as_bytes());
        text.push(0);
    }
    let digest = Digest::of(&text);
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest.as_bytes()[..16]);
    // Lists of runs are in the order of their ids.
    let millis = u64::try_from(at.as_millis()).unwrap_or(0).to_be_bytes();
    bytes[..6].copy_from_slice(&millis[2..]);
    RunId::from_uuid(uuid::Uuid::new_v8(bytes))
}

#[cfg(test)]
mod tests {
    use spec::cron::Cron;
    use store::suite::key;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(&format!("2027-01-15T{text}Z")).expect(text)
    }

    fn row(since: &str, next_at: &str) -> ScheduleRow {
        ScheduleRow {
            key: key("lab/intake"),
            trigger: "every".to_owned(),
            definition: bytes::Bytes::new(),
            since: at(since),
            next_at: Some(at(next_at)),
            fired_at: None,
            run: None,
        }
    }

    fn said(definition: &Definition, row: &ScheduleRow, now: &str) -> String {
        let time = |at: Option<Timestamp>| match at {
            Some(at) => at.to_string()[11..19].to_owned(),
            None => "none".to_owned(),
        };
        match due(definition, row, at(now)) {
            None => "not yet".to_owned(),
            Some(Due { fire, next, has_missed }) => {
                let mark = if has_missed { ", missed some" } else { "" };
                format!("{} then {}{mark}", time(fire), time(next))
            }
        }
    }

    /// Mutation: count from the last start instead of `since`, let `skip` start what is long past,
    /// `once` start the oldest, or `all` leave one out.
    #[test]
    fn what_was_missed_is_left_out_or_caught_up() {
        let row = row("06:10:00", "07:10:00");
        let cases = [
            ("07:09:59.999", ["not yet"; 3]),
            ("07:10:00", ["07:10:00 then 08:10:00"; 3]),
            ("07:10:59", ["07:10:00 then 08:10:00"; 3]),
            (
                "07:40:00",
                [
                    "none then 08:10:00, missed some",
                    "07:10:00 then 08:10:00",
                    "07:10:00 then 08:10:00",
                ],
            ),
            (
                "10:10:30",
                [
                    "10:10:00 then 11:10:00, missed some",
                    "10:10:00 then 11:10:00, missed some",
                    "07:10:00 then 08:10:00",
                ],
            ),
        ];
        for (now, expected) in cases {
            for (missed, expected) in
                [Missed::Skip, Missed::Once, Missed::All].into_iter().zip(expected)
            {
                let every = Definition { beat: Beat::Every(HOUR), missed };
                assert_eq!(said(&every, &row, now), expected, "{missed:?} at {now}");
                let cron = Cron::parse("10 * * * *").expect("hourly");
                let cron = Definition { beat: Beat::Cron(cron), missed };
                assert_eq!(said(&cron, &row, now), expected, "cron, {missed:?} at {now}");
            }
        }
    }

    /// Mutation: catch up without a limit, or keep the oldest instead of the newest.
    #[test]
    fn catching_up_has_a_limit() {
        let every = Definition { beat: Beat::Every(Duration::from_secs(10)), missed: Missed::All };
        let mut row = row("00:00:00", "00:00:10");
        let mut fired = Vec::new();
        while let Some(Due { fire, next, .. }) = due(&every, &row, at("06:00:00")) {
            fired.push(fire.expect("all are caught up"));
            row.next_at = next;
        }
        assert_eq!(fired.len(), CAUGHT_UP_MAX);
        assert_eq!(fired.last(), Some(&at("06:00:00")));
        assert!(fired.windows(2).all(|two| two[1].since(two[0]) == Duration::from_secs(10)));
    }

    /// Mutation: tell a next time before the run of this one has ended.
    #[test]
    fn after_waits_for_the_end_of_its_run() {
        let after = Definition { beat: Beat::After(HOUR), missed: Missed::Skip };
        assert_eq!(said(&after, &row("06:00:00", "07:00:00"), "11:00:00"), "07:00:00 then none");
    }

    /// Mutation: fire again for a time before the one that is next, when the clock was set back.
    #[test]
    fn a_clock_that_was_set_back_begins_nothing_twice() {
        let every = Definition { beat: Beat::Every(HOUR), missed: Missed::All };
        assert_eq!(said(&every, &row("06:00:00", "09:00:00"), "08:30:00"), "not yet");
    }

    /// Mutation: leave the trigger, the namespace or the time out of the id, or its order by time.
    #[test]
    fn a_run_id_follows_from_workflow_trigger_and_time() {
        let one = row("06:00:00", "07:00:00");
        let other = ScheduleRow { trigger: "cron".to_owned(), ..one.clone() };
        let moved = ScheduleRow { key: key("plant/intake"), ..one.clone() };
        let time = at("07:00:00");
        let id = run_id(&one, time);
        assert_eq!(id, run_id(&one, time));
        assert_eq!(id.as_uuid().get_version_num(), 8);
        let later = run_id(&one, Timestamp::from_millis(time.as_millis() + 1));
        assert!(id < later);
        for different in [run_id(&other, time), run_id(&moved, time), later] {
            assert_ne!(id, different);
        }
    }
}
