//! What a task gets of a process that has ended.

use std::time::Duration;

use base::value::{int, object, string};
use base::{ErrorType, Fault, Value};
use engine::effect::ProcessRequest;
use sandbox::Ending;
use spec::tree::Returns;

use super::capture::Wrote;
use super::runtime;

/// What a shell adds to a signal's number to make an exit code of it.
const SIGNAL_CODES: i64 = 128;

/// Title of a process that says itself that it has failed.
const FAILED: &str = "Process failed";

pub(super) fn of(request: &ProcessRequest, ending: &Ending, wrote: Wrote) -> Result<Value, Fault> {
    let code = match ending {
        Ending::Exited(code) => i64::from(*code),
        Ending::Signal(signal) => SIGNAL_CODES + i64::from(*signal),
        Ending::Failed(failure) => return Err(runtime(&failure.to_string(), "Cannot start")),
    };
    match request.returns {
        Returns::Code => return Ok(int(code)),
        Returns::All => {
            return Ok(object([
                ("code", int(code)),
                ("stdout", string(&text(wrote.stdout))),
                ("stderr", string(&text(wrote.stderr))),
            ]));
        }
        Returns::Stdout | Returns::Stderr | Returns::None => {}
    }
    if *ending != Ending::Exited(0) {
        return Err(failed(request, ending));
    }
    Ok(match request.returns {
        Returns::Stderr => string(&text(wrote.stderr)),
        Returns::None => Value::Null,
        Returns::Stdout | Returns::Code | Returns::All => string(&text(wrote.stdout)),
    })
}

/// As text, without the one line end that nearly every program writes last.
fn text(bytes: Vec<u8>) -> String {
    let mut text = match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(wrong) => String::from_utf8_lossy(wrong.as_bytes()).into_owned(),
    };
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    text
}

/// How a process has ended that nobody awaits, where there is something to say of it.
pub(super) fn told(ending: &Ending) -> Option<String> {
    (*ending != Ending::Exited(0)).then(|| format!("the process {}", how(ending)))
}

fn how(ending: &Ending) -> String {
    match ending {
        Ending::Signal(signal) => format!("was killed by signal {signal}{}", reason(*signal)),
        Ending::Exited(code) => format!("ended with exit code {code}"),
        Ending::Failed(failure) => failure.to_string(),
    }
}

/// Says nothing of what it wrote: that is for `runs logs`, and may be anything.
fn failed(request: &ProcessRequest, ending: &Ending) -> Fault {
    let detail = format!(
        "`{}` {}; `isonomy runs logs` shows what it wrote, and `return: code` or `all` makes the code the output",
        request.interpreter,
        how(ending)
    );
    runtime(&detail, FAILED)
}

/// What the limits of a site do to a process.
fn reason(signal: u8) -> &'static str {
    match i32::from(signal) {
        libc::SIGXCPU => " (more processor time than it may use)",
        libc::SIGXFSZ => " (a larger file than it may write)",
        libc::SIGSEGV | libc::SIGABRT | libc::SIGBUS => " (a crash; often for want of memory)",
        libc::SIGKILL => " (often for want of memory)",
        libc::SIGSYS => " (a call that no script may make)",
        _ => "",
    }
}

pub(super) fn too_slow(limit: Duration) -> Fault {
    let detail = format!(
        "the process ran longer than the {} seconds that the site allows (`scripts.limits.time`)",
        limit.as_secs()
    );
    Fault::new(ErrorType::Timeout, detail)
}

pub(super) fn too_much(limit: usize) -> Fault {
    let detail = format!(
        "the process wrote more than the {} MiB that a task may return (`scripts.limits.outputMiB`); \
         have it write less, or return something else",
        limit >> 20
    );
    runtime(&detail, "Output too large")
}

pub(super) fn broken_off() -> Fault {
    runtime("the sandbox of the process was ended from outside", "Broken off")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mutation: take every line end, or none.
    #[test]
    fn the_last_line_end_is_not_part_of_the_output() {
        let check = |written: &[u8], expected: &str| assert_eq!(text(written.to_vec()), expected);
        check(b"a\n", "a");
        check(b"a\n\n", "a\n");
        check(b"a\r\n", "a");
        check(b"a", "a");
        check(b"\n", "");
        check(b"", "");
        check(b"a\xff\n", "a\u{fffd}");
    }
}
