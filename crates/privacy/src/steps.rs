//! How many bytes are looked at. Tests hold the work to the size of the text by this count, since no
//! time that a test can measure is the same twice. Outside of tests nothing is counted.

#[cfg(test)]
use std::cell::Cell;

#[cfg(test)]
mod tests;

#[cfg(test)]
thread_local! {
    static STEPS: Cell<u64> = const { Cell::new(0) };
}

/// Every loop over a text adds what it went over.
#[inline]
pub fn add(count: usize) {
    #[cfg(test)]
    STEPS.with(|steps| steps.set(steps.get() + count as u64));
    #[cfg(not(test))]
    let _ = count;
}

/// What a piece of work looked at.
#[cfg(test)]
pub fn of(work: impl FnOnce()) -> u64 {
    STEPS.with(|steps| steps.set(0));
    work();
    STEPS.with(Cell::get)
}
