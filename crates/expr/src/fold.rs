//! `reduce` and `foreach`: the only loops that carry a value from round to round.
//!
//! A state can be nested one level deeper in each round, and a value nested too deep exhausts the
//! stack of whoever walks or frees it. So a state that may have grown is measured now and then.

use std::borrow::Cow;

use base::Value;
use base::limits::VALUE_DEPTH_MAX;

use crate::eval::{Flow, Machine, Reader, Scope};
use crate::fail::Halt;
use crate::function::calculate::{calculate, items};
use crate::term::{Fold, Kind, Term};

/// Levels that a state may have gained since it was last measured.
const GROWTH_MAX: u32 = 200;

impl Machine<'_> {
    pub(crate) fn fold(
        &self,
        fold: &Fold,
        scope: Scope<'_>,
        input: &Value,
        out: Reader<'_>,
    ) -> Flow {
        self.each(&fold.start, scope, input, &mut |start| {
            let mut rounds = Rounds { state: Some(start), grown: 0, said: None };
            let flow = self.each(&fold.source, scope, input, &mut |item| {
                self.bind(&fold.pattern, item, scope, &mut |scope| {
                    self.round(fold, scope, &mut rounds, out)
                })
            });
            match (rounds.said, flow) {
                (Some(halt), _) => return Err(halt),
                (None, Ok(()) | Err(Halt::Enough)) => {}
                (None, Err(halt)) => return Err(halt),
            }
            match rounds.state {
                Some(state) if fold.each.is_none() => {
                    if rounds.grown > 0 {
                        self.measure(&state, VALUE_DEPTH_MAX)?;
                    }
                    out(state)
                }
                _ => Ok(()),
            }
        })
    }

    fn round(&self, fold: &Fold, scope: Scope<'_>, rounds: &mut Rounds, out: Reader<'_>) -> Flow {
        self.fuel.spend(1)?;
        let Some(state) = rounds.state.take() else { return Err(Halt::Enough) };
        // Without an output the fold ends here, and has none either.
        let Some(next) = self.updated(&fold.update, scope, state)? else {
            return Err(Halt::Enough);
        };
        rounds.grown += fold.growth;
        if rounds.grown > GROWTH_MAX || (fold.each.is_some() && fold.growth > 0) {
            self.measure(&next, VALUE_DEPTH_MAX)?;
            rounds.grown = 0;
        }
        let flow = match &fold.each {
            None => Ok(()),
            Some(None) => out(next.clone()),
            // A failure of the projection is one of the fold, but what `out` says is not ours.
            Some(Some(output)) => self.each(output, scope, &next, &mut |value| {
                out(value).map_err(|halt| {
                    rounds.said = Some(halt);
                    Halt::Enough
                })
            }),
        };
        rounds.state = Some(next);
        flow.map_err(|halt| {
            rounds.said.get_or_insert(halt);
            Halt::Enough
        })
    }

    /// The state after one round. jaq follows every output of an update; more than one is rare
    /// enough to leave to it.
    fn updated(
        &self,
        update: &Term,
        scope: Scope<'_>,
        state: Value,
    ) -> Result<Option<Value>, Halt> {
        if let Kind::Math(left, operator, right, at) = &update.kind
            && matches!(left.kind, Kind::Input)
            && right.single
        {
            // Nothing else holds the state, so `. + [$x]` grows it in place.
            let right = self.one(right, scope, &state)?;
            let next = calculate(&self.fuel, Cow::Owned(state), *operator, Cow::Owned(right));
            return next.map(Some).map_err(|refused| refused.at(*at));
        }
        if update.single {
            return self.one(update, scope, &state).map(Some);
        }
        let mut next = None;
        self.each(update, scope, &state, &mut |value| {
            if next.replace(value).is_some() { Err(Halt::Outside) } else { Ok(()) }
        })?;
        Ok(next)
    }

    /// Refuses what is nested deeper than any value of ours may be.
    fn measure(&self, value: &Value, depth_left: usize) -> Flow {
        self.fuel.spend(1)?;
        match items(value) {
            Err(_) => Ok(()),
            Ok(_) if depth_left == 0 => Err(Halt::Outside),
            Ok(mut items) => items.try_for_each(|item| self.measure(item, depth_left - 1)),
        }
    }
}

struct Rounds {
    /// Nothing once an update had no output.
    state: Option<Value>,
    grown: u32,
    /// What the reader of the outputs said.
    said: Option<Halt>,
}
