//! A room without windows for scripts and shell commands.
//!
//! ```text
//!   site ── launch ──► our binary again, one thread (`init`): namespaces, fork
//!              │            └─► process 1 inside: `root`, `door`, `rights`; watches, reaps
//!              │                      └─► the script (`seccomp`, limits)
//!              ◄── door: a listening socket of the inside, served by the gate outside ──┘
//! ```
//!
//! What a script may use is in [`Job`]; who may run one, and what its door leads to, is decided
//! above. The evaluator of expressions is in `child`, and has nothing of this.

mod door;
mod init;
mod installed;
mod job;
mod launch;
mod probe;
mod rights;
mod root;
mod seccomp;

pub use init::{JAIL, jail_child_main};
pub use installed::{Installed, NotInstalled};
pub use job::{Ending, Failure, Job, Limits, Shown};
pub use launch::{Jail, LaunchError, Running};
pub use probe::{ProbeError, is_probe, probe_child_main};
