//! Asking whether something shall really be done.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use crate::failure::{Failure, Outcome};
use crate::output;

/// Whether somebody at the terminal says yes. Nothing where nobody is there to be asked.
pub fn confirmed(question: &str) -> Outcome<Option<bool>> {
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Ok(None);
    }
    let mut stderr = io::stderr().lock();
    let asked = write!(stderr, "{question}? [y/N] ").and_then(|()| stderr.flush());
    asked.map_err(|cause| Failure::internal(format!("cannot ask: {cause}")))?;
    let mut answer = String::new();
    let read = io::stdin().lock().read_line(&mut answer);
    read.map_err(|cause| Failure::internal(format!("cannot read the answer: {cause}")))?;
    Ok(Some(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes")))
}

/// Whether to go on: somebody has said `--yes`, or says so now. `unasked` is what nobody is there to confirm.
pub fn agreed(yes: bool, question: &str, unasked: &str) -> Outcome<bool> {
    if yes {
        return Ok(true);
    }
    let answer = confirmed(question)?.ok_or_else(|| {
        Failure::usage(format!("nobody is there to confirm that {unasked}"))
            .hint("pass `--yes` to do it without being asked")
    })?;
    if !answer {
        output::say("nothing was changed");
    }
    Ok(answer)
}
