//! Words of other languages, and what is written here instead.

use base::{ErrorType, fault};

use crate::duration::parse_iso_duration;

/// Names that people bring along: in which object (by a property that is known there), and the way out.
const NAMES: [(&[&str], &str, &str); 19] = [
    (&["next", "goto"], "then", "write `then`"),
    (&["end"], "then", "write `then: end`"),
    (
        &["retry", "retries"],
        "then",
        "what is tried again stands in a `try` task, with `catch: {retry: {…}}`",
    ),
    (
        &["catch", "onerror", "on_error"],
        "then",
        "what may fail stands in a `try` task, with `catch: {…}` beside it",
    ),
    (
        &["dependson", "depends_on", "needs", "after", "upstream"],
        "then",
        "in a `fork`, a branch waits for others with `metadata: {after: [name]}`",
    ),
    (
        &["dependson", "depends_on", "needs", "after", "upstream"],
        "compete",
        "a branch waits for others with `metadata: {after: [name]}`",
    ),
    (&["uri", "url"], "endpoint", "did you mean `endpoint`?"),
    (&["choices"], "then", "write `switch`"),
    (
        &["maxconcurrency", "max_concurrency", "concurrency", "parallel"],
        "each",
        "a loop runs one after another; what runs at the same time stands in the branches of a `fork`",
    ),
    (&["catchup"], "cron", "write `missed: skip`, `once` or `all`"),
    (&["timezone", "tz"], "cron", "times are UTC"),
    (
        &["maxattempts", "max_attempts", "attempts", "retries"],
        "limit",
        "write `limit: {attempt: {count: 3}}`",
    ),
    (&["interval", "intervalseconds", "retry_delay"], "limit", "write `delay: {seconds: 5}`"),
    (
        &["backoffrate", "factor"],
        "limit",
        "write `backoff: {exponential: {}}`, which doubles each time",
    ),
    (
        &["maxdelayseconds", "maxdelay"],
        "limit",
        "a delay has no limit of its own; `limit: {duration: PT10M}` ends all attempts",
    ),
    (&["timeout"], "read", "`timeout` stands beside `listen`, not in it"),
    (&["timeoutseconds", "heartbeatseconds"], "then", "write `timeout: {after: PT30S}`"),
    (
        &["resource", "parameters", "resultpath", "inputpath", "outputpath"],
        "then",
        "write `call` with `with`, and shape data with `input: {from: …}` and `output: {as: …}`",
    ),
    (
        &["states", "startat"],
        "document",
        "this looks like another language; `isonomy init` writes a document to begin with",
    ),
];

/// What stands here for a name of another language.
pub(super) fn name(name: &str, known: &[&str]) -> Option<String> {
    let name = name.to_lowercase();
    let entry =
        NAMES.iter().find(|(names, place, _)| names.contains(&&*name) && known.contains(place));
    entry.map(|(_, _, hint)| (*hint).to_owned())
}

/// What jq has in place of something that it cannot read, and why it cannot.
pub(super) fn expression(text: &str, why: &str) -> Option<&'static str> {
    let has = |part: &str| text.contains(part);
    if has("${") {
        return Some(
            "a string is wholly one expression or plain text; inside an expression write `\"text \\(.value)\"`",
        );
    }
    if has("$.") || has("$[") {
        return Some("`$.field` is JSONPath; expressions here are jq: write `.field`");
    }
    if has("States.") {
        return Some(
            "there are no intrinsic functions; in jq write `\"text \\(.value)\"`, `length`, `tojson`, …",
        );
    }
    if has("&&") || has("||") {
        return Some("write `and` or `or`");
    }
    if has("'") {
        return Some("jq has double quotes only: `\"text\"`");
    }
    if why.starts_with("no function is called") && !why.contains("did you mean") {
        return Some("a field of the data has a dot before its name: `.orders`");
    }
    has("()")
        .then_some("jq calls a function without arguments by its name alone: `now`, not `now()`")
}

/// What stands here for a word that says which errors are caught.
pub(super) fn error_type(text: &str) -> Option<String> {
    let standard = match text {
        "*" | "all" | "ALL" => None,
        "States.Timeout" | "States.HeartbeatTimeout" => Some(ErrorType::Timeout),
        "States.Permissions" => Some(ErrorType::Authorization),
        "States.Runtime" => Some(ErrorType::Runtime),
        _ if text.starts_with("States.") => None,
        _ => return None,
    };
    Some(match standard {
        Some(standard) => format!("write `{}{}`", fault::BASE, standard.name()),
        None => "leave `errors` out to catch every error".to_owned(),
    })
}

/// The duration that was meant.
pub(super) fn duration(text: &str) -> Option<String> {
    /// Longer is no duration that somebody has typed.
    const CHARS_MAX: usize = 40;
    if text.len() > CHARS_MAX {
        return None;
    }
    let upper: String = text.to_uppercase().chars().filter(|c| !c.is_whitespace()).collect();
    let bare = upper.trim_start_matches('P').trim_start_matches('T');
    let meant = [upper.clone(), format!("PT{bare}"), format!("P{bare}"), format!("PT{bare}S")];
    meant
        .into_iter()
        .find(|text| parse_iso_duration(text).is_ok())
        .map(|text| format!("did you mean `{text}`?"))
}
