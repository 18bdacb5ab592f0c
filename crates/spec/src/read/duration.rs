//! Durations and timeouts.

use base::Duration;

use crate::code::Code;
use crate::duration::{UNITS, parse_iso_duration};
use crate::node::Kind;
use crate::tree::DurationOf;

use super::expression::{Around, Position};
use super::fields::Item;
use super::reusable::Shelf;
use super::{Reader, foreign};

impl<'a> Reader<'a> {
    pub(super) fn duration(
        &mut self,
        item: Item<'a>,
        position: Position,
        around: &Around,
    ) -> Option<DurationOf> {
        if let Some(expression) = self.marked(item, position, around) {
            return expression.map(DurationOf::Expr);
        }
        match &item.node.kind {
            Kind::Str(scalar) => match parse_iso_duration(&scalar.text) {
                Ok(duration) => Some(DurationOf::Fixed(duration)),
                Err(why) => {
                    self.report(
                        Code::Duration,
                        item.node.at,
                        format!("not a duration: {why}"),
                        foreign::duration(&scalar.text),
                    );
                    None
                }
            },
            Kind::Map(_) => self.duration_object(item),
            _ => self.wrong_type(item, "a duration"),
        }
    }

    pub(super) fn duration_of(
        &mut self,
        item: Option<Item<'a>>,
        position: Position,
        around: &Around,
    ) -> Option<DurationOf> {
        self.duration(item?, position, around)
    }

    fn duration_object(&mut self, item: Item<'a>) -> Option<DurationOf> {
        let fields = self.fields(item, &UNITS.map(|(name, _)| name))?;
        let mut total: Option<u64> = None;
        for (name, unit_ms) in UNITS {
            let Some(amount) = fields.get(name) else {
                continue;
            };
            let most = i64::MAX / i64::try_from(unit_ms).expect("a day has few milliseconds");
            let amount = u64::try_from(self.whole(amount, 0, most)?).expect("not negative");
            total = Some(total.unwrap_or(0).saturating_add(amount.saturating_mul(unit_ms)));
        }
        // What stands there under an unknown name was told of already.
        if total.is_none() && self.entries(item).is_some_and(<[_]>::is_empty) {
            self.report(
                Code::Duration,
                item.at,
                "the duration says no time",
                Some("write for instance `seconds: 5`".into()),
            );
        }
        total.map(|millis| DurationOf::Fixed(Duration::from_millis(millis)))
    }

    /// `timeout`: inline, or the name of one in `use.timeouts`.
    pub(super) fn timeout(
        &mut self,
        item: Option<Item<'a>>,
        position: Position,
        around: &Around,
    ) -> Option<DurationOf> {
        let item = self.inline_or_shelved(item?, Shelf::Timeouts)?;
        self.timeout_inline(item, position, around)
    }

    pub(super) fn timeout_inline(
        &mut self,
        item: Item<'a>,
        position: Position,
        around: &Around,
    ) -> Option<DurationOf> {
        let fields = self.fields(item, &["after"])?;
        let after = self.require(&fields, "after")?;
        self.duration(after, position, around)
    }
}
