//! What a site may say of itself apart from its streams.

use wire::link::Health;

use crate::{CODE_BYTES_MAX, COUNT_MAX, FAILED_MAX};

/// Whether it says nothing but numbers and codes.
pub(super) fn is_closed(health: &Health) -> bool {
    let is_code = |code: &str| {
        (1..=CODE_BYTES_MAX).contains(&code.len())
            && code.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-')
    };
    health.failed.len() <= FAILED_MAX
        && health.edition.is_none_or(|number| number < COUNT_MAX)
        && health.failed.iter().all(|failed| is_code(&failed.code))
}
