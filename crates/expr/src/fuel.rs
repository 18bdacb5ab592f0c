//! Fuel: how much work one evaluation in this process may cost.
//!
//! Fuel, not time: the same expression on the same input always stops at the same place, so what
//! was evaluated outside once is evaluated outside on every replay. Whatever a step touches or
//! makes is paid first. Values share their parts, so a small program can make a value whose text
//! would fill a disk; therefore a value is weighed part by part before anything walks through it.

use std::cell::Cell;

use base::Value;
use jaq_json::Num;

use crate::fail::{Halt, Refused};

/// One unit is about ten nanoseconds, so this is some 5 ms: much longer than an ordinary
/// condition, much shorter than what another run would notice.
pub(crate) const FUEL: u64 = 500_000;

/// Bytes of text that are made or compared for one unit.
const BYTES_PER_UNIT: usize = 8;

/// Integers up to here are exact as floating-point numbers, so comparing the two kinds is a total
/// order. Beyond, and with `nan`, it is none, and sorting might never end well.
const EXACT_INTEGER_MAX: u64 = 1 << 53;

#[derive(Debug)]
pub(crate) struct Fuel(Cell<u64>);

/// There is none left.
#[derive(Debug)]
pub(crate) struct Empty;

impl From<Empty> for Halt {
    fn from(_: Empty) -> Self {
        Self::Outside
    }
}

impl From<Empty> for Refused {
    fn from(_: Empty) -> Self {
        Self::Outside
    }
}

impl Fuel {
    pub(crate) fn new(units: u64) -> Self {
        Self(Cell::new(units))
    }

    pub(crate) fn left(&self) -> u64 {
        self.0.get()
    }

    #[inline]
    pub(crate) fn spend(&self, units: u64) -> Result<(), Empty> {
        match self.0.get().checked_sub(units) {
            Some(left) => {
                self.0.set(left);
                Ok(())
            }
            None => Err(Empty),
        }
    }

    pub(crate) fn spend_items(&self, items: usize) -> Result<(), Empty> {
        self.spend(items as u64)
    }

    pub(crate) fn spend_bytes(&self, bytes: usize) -> Result<(), Empty> {
        self.spend((bytes / BYTES_PER_UNIT) as u64 + 1)
    }

    /// Pays for walking through a value once.
    pub(crate) fn weigh(&self, value: &Value) -> Result<(), Empty> {
        match value {
            Value::Null | Value::Bool(_) | Value::Num(_) => self.spend(1),
            Value::TStr(text) | Value::BStr(text) => self.spend_bytes(text.len()),
            Value::Arr(items) => {
                self.spend(1)?;
                items.iter().try_for_each(|item| self.weigh(item))
            }
            Value::Obj(map) => {
                self.spend(1)?;
                map.iter().try_for_each(|(key, item)| {
                    self.weigh(key)?;
                    self.weigh(item)
                })
            }
        }
    }

    /// Pays for comparing two values. Free of walking unless both are of a compound kind.
    pub(crate) fn weigh_both(&self, left: &Value, right: &Value) -> Result<(), Empty> {
        match (left, right) {
            (Value::TStr(left), Value::TStr(right)) => {
                self.spend_bytes(left.len().min(right.len()))
            }
            (Value::Arr(_), Value::Arr(_)) | (Value::Obj(_), Value::Obj(_)) => {
                self.weigh(left)?;
                self.weigh(right)
            }
            _ => self.spend(1),
        }
    }

    /// Pays for sorting these, and refuses what has no total order.
    pub(crate) fn sort(&self, items: &[Value]) -> Result<(), Empty> {
        let before = self.0.get();
        items.iter().try_for_each(|item| {
            self.weigh(item)?;
            if is_ordered(item) { Ok(()) } else { Err(Empty) }
        })?;
        // Each item is compared about log2(n) times.
        let rounds = u64::from(items.len().max(1).ilog2());
        self.spend((before - self.0.get()).saturating_mul(rounds))
    }
}

/// Whether all numbers in it compare as a total order does.
fn is_ordered(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(_) | Value::TStr(_) => true,
        Value::BStr(_) => false,
        Value::Num(Num::Int(number)) => number.unsigned_abs() as u64 <= EXACT_INTEGER_MAX,
        Value::Num(Num::Float(number)) => !number.is_nan(),
        Value::Num(Num::BigInt(_)) => false,
        Value::Num(Num::Dec(text)) => text.parse::<f64>().is_ok_and(|number| !number.is_nan()),
        Value::Arr(items) => items.iter().all(is_ordered),
        Value::Obj(map) => map.iter().all(|(key, item)| is_ordered(key) && is_ordered(item)),
    }
}
