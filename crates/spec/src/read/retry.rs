//! Retry policies.

use crate::code::Code;
use crate::tree::{Backoff, DurationOf, Retry};

use super::Reader;
use super::expression::{Around, Position};
use super::fields::{Item, quoted};
use super::reusable::Shelf;

const BACKOFFS: [(&str, Backoff); 3] = [
    ("constant", Backoff::Constant),
    ("linear", Backoff::Linear),
    ("exponential", Backoff::Exponential),
];

impl<'a> Reader<'a> {
    /// `retry`: inline, or the name of one in `use.retries`.
    pub(super) fn retry(&mut self, item: Item<'a>, around: &Around) -> Option<Retry> {
        let item = self.inline_or_shelved(item, Shelf::Retries)?;
        self.retry_inline(item, around)
    }

    pub(super) fn retry_inline(&mut self, item: Item<'a>, around: &Around) -> Option<Retry> {
        let known = ["when", "exceptWhen", "delay", "backoff", "limit", "jitter"];
        let fields = self.fields(item, &known)?;
        let when = self.condition_of(fields.get("when"), Position::Task, around);
        let except_when = self.condition_of(fields.get("exceptWhen"), Position::Task, around);
        let delay = self.duration_of(fields.get("delay"), Position::Task, around);
        let backoff = match fields.get("backoff") {
            Some(item) => self.backoff(item),
            None => Some(Backoff::default()),
        };
        let jitter = fields.get("jitter").and_then(|item| self.jitter(item, around));
        let limit =
            fields.get("limit").and_then(|item| self.fields(item, &["attempt", "duration"]));
        let duration = limit.and_then(|limit| limit.get("duration"));
        let duration = self.duration_of(duration, Position::Task, around);
        let attempt = limit.and_then(|limit| limit.get("attempt"));
        let attempt = attempt.and_then(|item| self.fields(item, &["count", "duration"]));
        let count = attempt.and_then(|attempt| attempt.get("count"));
        let retries_max = count.and_then(|item| self.whole(item, 0, u32::MAX));
        let attempt_duration = attempt.and_then(|attempt| attempt.get("duration"));
        let attempt_duration = self.duration_of(attempt_duration, Position::Task, around);
        Some(Retry {
            when,
            except_when,
            delay,
            backoff: backoff?,
            retries_max,
            attempt_duration,
            duration,
            jitter,
        })
    }

    fn backoff(&mut self, item: Item<'a>) -> Option<Backoff> {
        let names = BACKOFFS.map(|(name, _)| name);
        let fields = self.fields(item, &names)?;
        let found: Vec<_> = BACKOFFS
            .into_iter()
            .filter_map(|(name, backoff)| Some((fields.get(name)?, backoff)))
            .collect();
        let [(inner, backoff)] = found[..] else {
            let message = format!("expected one of {}, found {}", quoted(&names), found.len());
            self.report(
                Code::WrongValue,
                fields.at(),
                message,
                Some("write for instance `exponential: {}`".into()),
            );
            return None;
        };
        self.fields(inner, &[])?;
        Some(backoff)
    }

    fn jitter(&mut self, item: Item<'a>, around: &Around) -> Option<(DurationOf, DurationOf)> {
        let fields = self.fields(item, &["from", "to"])?;
        let from = self
            .require(&fields, "from")
            .and_then(|item| self.duration(item, Position::Task, around));
        let to = self
            .require(&fields, "to")
            .and_then(|item| self.duration(item, Position::Task, around));
        let (from, to) = (from?, to?);
        if let (DurationOf::Fixed(least), DurationOf::Fixed(most)) = (&from, &to)
            && least > most
        {
            self.report(
                Code::WrongValue,
                item.at,
                "the jitter's `from` is longer than its `to`",
                None,
            );
        }
        Some((from, to))
    }
}
