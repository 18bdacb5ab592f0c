//! At which shares of a budget somebody is told.

use serde::{Deserialize, Serialize};

/// Shares of a cap, in percent, that are told when they are reached.
pub const ALARMS: [u8; 3] = [50, 80, 100];

/// Shares that one budget is told at: each is an event that somebody listens to.
pub const ALARMS_MAX: usize = 10;

/// Shares of one budget that are told when they are reached, in percent, ascending.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<u8>", into = "Vec<u8>")]
pub struct Alarms(Vec<u8>);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "a budget is told at 1 to {ALARMS_MAX} shares of it, each from 1 to 100 percent and named once"
)]
pub struct AlarmsError;

impl TryFrom<Vec<u8>> for Alarms {
    type Error = AlarmsError;

    fn try_from(mut shares: Vec<u8>) -> Result<Self, AlarmsError> {
        shares.sort_unstable();
        let is_once = shares.windows(2).all(|pair| pair[0] != pair[1]);
        let is_share = shares.iter().all(|share| (1..=100).contains(share));
        let is_some = (1..=ALARMS_MAX).contains(&shares.len());
        if is_once && is_share && is_some { Ok(Self(shares)) } else { Err(AlarmsError) }
    }
}

impl From<Alarms> for Vec<u8> {
    fn from(alarms: Alarms) -> Self {
        alarms.0
    }
}

impl Default for Alarms {
    fn default() -> Self {
        Self(ALARMS.to_vec())
    }
}

impl Alarms {
    #[must_use]
    pub fn shares(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mutation: drop a check, or keep the order in which they were named.
    #[test]
    fn shares_are_percents_and_each_is_named_once() {
        let read = |shares: &[u8]| Alarms::try_from(shares.to_vec());
        assert_eq!(read(&[95, 20]).map(|it| it.shares().to_vec()), Ok(vec![20, 95]));
        assert_eq!(Alarms::default().shares(), ALARMS);
        for wrong in [&[][..], &[0], &[101], &[5, 5], &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]] {
            assert_eq!(read(wrong), Err(AlarmsError), "{wrong:?}");
        }
    }
}
