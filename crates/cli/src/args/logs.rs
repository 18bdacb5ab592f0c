//! What can be typed behind `isonomy runs logs`.

use std::str::FromStr;

use base::RunId;
use clap::Args;

use super::OutputArgs;

#[derive(Debug, Args)]
pub struct RunsLogs {
    /// A run, or one task of it: `RUN/TASK`
    #[arg(value_name = "RUN[/TASK]")]
    pub of: LogsOf,
    /// Go on with what is written, until the run and its processes have ended
    #[arg(short, long)]
    pub follow: bool,
    #[command(flatten)]
    pub output: OutputArgs,
}

/// Whose log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogsOf {
    pub run: RunId,
    /// A task's name, or an activation with its first `/`.
    pub task: Option<String>,
}

impl FromStr for LogsOf {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (run, rest) = text.split_at(text.find('/').unwrap_or(text.len()));
        let run = run.parse().map_err(|error: <RunId as FromStr>::Err| error.to_string())?;
        let task = match rest.strip_prefix('/') {
            None | Some("") => None,
            // `RUN/TASK` names a task, `RUN//screen/each[2]` one execution.
            Some(task) => Some(task.to_owned()),
        };
        Ok(Self { run, task })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mutation: cut an activation at its second `/`, or take an empty name for a task.
    #[test]
    fn a_log_is_named_by_run_and_task() {
        let run = "run_01a1fb7b-d522-7414-8c47-aa7df2bebacf";
        let task = |rest: &str| format!("{run}{rest}").parse::<LogsOf>().expect(rest).task;
        assert_eq!(task(""), None);
        assert_eq!(task("/"), None);
        assert_eq!(task("/score"), Some("score".to_owned()));
        assert_eq!(task("//screen/each[2]"), Some("/screen/each[2]".to_owned()));
        assert!("score".parse::<LogsOf>().is_err());
    }
}
