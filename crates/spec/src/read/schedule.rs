//! `schedule`: what starts runs by itself. When the next one begins is decided by the site.

use std::sync::Arc;

use base::Duration;

use crate::code::Code;
use crate::cron::Cron;
use crate::tree::schedule::{Missed, On, Schedule, Trigger};
use crate::tree::{DurationOf, Input, Strategy, Until};

use super::Reader;
use super::expression::{Around, Position};
use super::fields::{Fields, Item};

/// The shortest `every` and `after`. A beat below is work for a loop inside of one run.
const INTERVAL_MIN: Duration = Duration::from_millis(100);

/// The longest: ten years. What is longer was meant otherwise.
const INTERVAL_MAX: Duration = Duration::from_secs(10 * 366 * 24 * 3600);

const KNOWN: [&str; 6] = ["every", "cron", "after", "on", "read", "missed"];

impl<'a> Reader<'a> {
    /// Reads `schedule`. `input` is the workflow's own.
    pub(super) fn schedule(
        &mut self,
        item: Option<Item<'a>>,
        input: Option<&Input>,
    ) -> Option<Option<Schedule>> {
        let Some(item) = item else { return Some(None) };
        let fields = self.fields(item, &KNOWN)?;
        let mut triggers = Vec::new();
        let mut is_read = true;
        for name in ["every", "cron", "after", "on"] {
            let Some(found) = fields.get(name) else { continue };
            let trigger = match name {
                "every" => self.interval(found).map(Trigger::Every),
                "cron" => self.cron(found).map(Trigger::Cron),
                "after" => self.interval(found).map(Trigger::After),
                _ => self.on(found, &fields).map(Trigger::On),
            };
            is_read &= trigger.is_some();
            triggers.extend(trigger);
        }
        if is_read && triggers.is_empty() {
            let hint = "write one of `every`, `cron`, `after` and `on`";
            self.report(
                Code::ScheduleEmpty,
                item.at,
                "the schedule starts nothing",
                Some(hint.into()),
            );
            is_read = false;
        }
        if let Some(read) = fields.get("read").filter(|_| fields.get("on").is_none()) {
            let hint = "leave it out, or say which events start a run under `on`";
            let message = "`read` says how events are read, and no event starts a run here";
            self.report(Code::ReadWithoutOn, read.at, message, Some(hint.into()));
        }
        let missed = self.missed(&fields)?;
        self.needs_no_input(item, &triggers, input);
        is_read.then_some(Some(Schedule { triggers, missed }))
    }

    fn missed(&mut self, fields: &Fields<'a>) -> Option<Missed> {
        let Some(item) = fields.get("missed") else { return Some(Missed::default()) };
        let name = self.one_of(item, &Missed::NAMES)?;
        if fields.get("every").is_none() && fields.get("cron").is_none() {
            let hint = "leave it out: a time can be missed with `every` and `cron` only";
            let message = "`missed` says nothing here";
            self.report(Code::MissedUnused, item.at, message, Some(hint.into()));
        }
        Missed::parse(name)
    }

    fn interval(&mut self, item: Item<'a>) -> Option<Duration> {
        // Nothing is there yet that an expression could read.
        if item.node.as_str().is_some_and(|text| text.trim_start().starts_with("${")) {
            let message = "an interval cannot be computed: no run is there that could";
            let hint = "write for instance `PT1H`, or `{ hours: 1 }`";
            self.report(Code::ScheduleInterval, item.node.at, message, Some(hint.into()));
            return None;
        }
        let read = self.duration(item, Position::WorkflowInput, &Around::default())?;
        let DurationOf::Fixed(duration) = read else { return None };
        if duration < INTERVAL_MIN || duration > INTERVAL_MAX {
            let message = "an interval is from 100 milliseconds to ten years";
            let hint = "for something quicker use a loop with `wait` inside of one run";
            self.report(Code::ScheduleInterval, item.at, message, Some(hint.into()));
            return None;
        }
        Some(duration)
    }

    fn cron(&mut self, item: Item<'a>) -> Option<Cron> {
        let text = self.text(item)?;
        match Cron::parse(text) {
            Ok(cron) => Some(cron),
            Err(wrong) => {
                let message = format!("not a cron expression: {}", wrong.what);
                self.report(Code::Cron, item.node.at, message, Some(wrong.hint));
                None
            }
        }
    }

    fn on(&mut self, item: Item<'a>, fields: &Fields<'a>) -> Option<On> {
        let read = self.read_as(fields.get("read"));
        let events = self.object_value(item)?;
        // No run is there yet that an expression could read.
        let to = self.strategy(item, &Around::nobody())?;
        if let Strategy::Any { until: Until::Never, .. } = to {
            let hint = "leave `until` out: each event begins a run then";
            let message = "no run would ever begin: what begins it never ends";
            self.report(Code::EventStrategy, item.at, message, Some(hint.into()));
            return None;
        }
        Some(On { events, to: Arc::new(to), read: read? })
    }

    /// A run that begins by time has `{}` as its input.
    fn needs_no_input(&mut self, item: Item<'a>, triggers: &[Trigger], input: Option<&Input>) {
        let is_timed = triggers.iter().any(|trigger| !matches!(trigger, Trigger::On(_)));
        let Some(schema) = input.and_then(|input| input.schema.as_ref()).filter(|_| is_timed)
        else {
            return;
        };
        if schema.check(&base::value::object([])).is_err() {
            let message =
                "runs that begin by time have `{}` as input, and the input's schema refuses that";
            let hint = "let the schema accept `{}`, or every such run will fault";
            self.report(Code::ScheduleInput, item.at, message, Some(hint.into()));
        }
    }
}
