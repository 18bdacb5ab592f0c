//! Which token comes next.

use crate::model::InferError;

/// Draws tokens. The same seed draws the same ones.
pub(super) struct Sampler {
    temperature: f32,
    top_p: f32,
    state: u64,
}

impl Sampler {
    pub(super) const fn new(temperature: f32, top_p: f32, seed: u64) -> Self {
        Self { temperature, top_p, state: seed }
    }

    /// One of these, by what each is worth. A number that is none among them is the model's fault.
    pub(super) fn next(&mut self, worth: &[f32]) -> Result<u32, InferError> {
        if worth.iter().any(|it| it.is_nan()) {
            return Err(InferError::NotNumbers);
        }
        let best =
            worth.iter().enumerate().reduce(|best, it| if it.1 > best.1 { it } else { best });
        let (best, most) = best.ok_or(InferError::NotNumbers)?;
        if !most.is_finite() {
            return Err(InferError::NotNumbers);
        }
        // So cold that nothing else has a chance.
        if self.temperature < 1e-4 || self.top_p <= 0.0 {
            return Ok(best as u32);
        }
        let chance = |it: f32| f64::from((it - most) / self.temperature).exp();
        let all: f64 = worth.iter().map(|it| chance(*it)).sum();
        let mut likely: Vec<(usize, f64)> =
            worth.iter().map(|it| chance(*it) / all).enumerate().filter(|it| it.1 > 0.0).collect();
        if self.top_p < 1.0 {
            // Tokens of the same chance in the order of their numbers.
            likely.sort_by(|one, other| other.1.total_cmp(&one.1).then(one.0.cmp(&other.0)));
            let mut sum = 0.0;
            let enough = likely.iter().position(|(_, chance)| {
                sum += chance;
                sum >= f64::from(self.top_p)
            });
            likely.truncate(enough.map_or(likely.len(), |it| it + 1));
        }
        let sum: f64 = likely.iter().map(|it| it.1).sum();
        let mut drawn = self.unit() * sum;
        for (token, chance) in &likely {
            drawn -= chance;
            if drawn < 0.0 {
                return Ok(*token as u32);
            }
        }
        Ok(likely.last().map_or(best, |it| it.0) as u32)
    }

    /// From 0 to 1, by SplitMix64.
    fn unit(&mut self) -> f64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(temperature: f32, top_p: f32, worth: &[f32]) -> Vec<usize> {
        let mut counts = vec![0; worth.len()];
        let mut sampler = Sampler::new(temperature, top_p, 1);
        for _ in 0..10_000 {
            counts[sampler.next(worth).expect("numbers") as usize] += 1;
        }
        counts
    }

    /// Mutation: leave the temperature out, or keep one token too few of the likely ones.
    #[test]
    fn tokens_are_drawn_as_often_as_they_are_likely() {
        // 0.5, 0.25, 0.25
        let worth = [2.0_f32.ln(), 0.0, 0.0];
        assert_eq!(drawn(0.0, 1.0, &worth), [10_000, 0, 0]);
        let all = drawn(1.0, 1.0, &worth);
        assert!(all[0].abs_diff(5_000) < 200 && all[1].abs_diff(2_500) < 200, "{all:?}");
        assert_eq!(drawn(1.0, 0.5, &worth), [10_000, 0, 0]);
        let two = drawn(1.0, 0.75, &worth);
        assert!(two[0].abs_diff(6_667) < 200 && two[2] == 0, "{two:?}");
        // 0.8, 0.1, 0.1
        let colder = drawn(1.0 / 3.0, 1.0, &worth);
        assert!(colder[0].abs_diff(8_000) < 200, "{colder:?}");
        assert_eq!(drawn(1.0, 1.0, &worth), all, "the same seed draws the same");
    }

    /// Mutation: leave out the check, which makes the first token of nothing.
    #[test]
    fn numbers_that_are_none_are_an_error_and_no_token() {
        for worth in [&[0.0, f32::NAN][..], &[f32::INFINITY, 0.0], &[f32::NEG_INFINITY; 2], &[]] {
            for temperature in [0.0, 1.0] {
                let mut sampler = Sampler::new(temperature, 1.0, 0);
                assert_eq!(sampler.next(worth), Err(InferError::NotNumbers), "{worth:?}");
            }
        }
    }
}
