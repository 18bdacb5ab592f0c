//! Named places where a crash test stops the process.
//!
//! Only with the feature `failpoints`, and only at the place that `ISONOMY_FAILPOINT` names (with
//! `:n` for its n-th pass): the thread says so on stderr and stands still for ever, so that the
//! test can send its SIGKILL at exactly this instant.

/// Between deciding and writing it down.
pub const BEFORE_COMMIT: &str = "before-commit";
/// Written down, and not yet done.
pub const AFTER_COMMIT: &str = "after-commit";
/// Done, and its result not yet written down.
pub const AFTER_ACT: &str = "after-act";

/// A scheduled run is started, and its schedule does not know yet.
pub const AFTER_SCHEDULED: &str = "after-scheduled";

#[cfg(not(feature = "failpoints"))]
pub fn pass(_name: &str) {}

#[cfg(feature = "failpoints")]
pub fn pass(name: &str) {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    static WANTED: OnceLock<Option<(String, u64)>> = OnceLock::new();
    static PASSED: AtomicU64 = AtomicU64::new(0);

    let wanted = WANTED.get_or_init(|| {
        let text = std::env::var("ISONOMY_FAILPOINT").ok()?;
        let (name, time) = text.split_once(':').unwrap_or((&text, "1"));
        Some((name.to_owned(), time.parse().ok()?))
    });
    let Some((_, time)) = wanted.as_ref().filter(|(wanted, _)| wanted == name) else { return };
    if PASSED.fetch_add(1, Ordering::SeqCst) + 1 == *time {
        eprintln!("failpoint {name} reached");
        loop {
            std::thread::park();
        }
    }
}
