//! What `cargo xtask bench engine` is asked for.

/// What is measured. The exact words are in `docs/benchmarks.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Workload {
    /// Ten durable steps, one run at a time and 64 at once.
    Steps,
    /// The same with a request over HTTP as a step; without peers.
    Calls,
    /// One fork of a hundred steps.
    Fork,
    /// From the start to the first answer; memory at rest.
    Rest,
    /// A thousand runs blocked in step 6, SIGKILL, start, until all have completed.
    Resume,
    /// One run of many iterations.
    Long,
    /// A hundred thousand runs asleep, all due after a kill.
    Due,
    /// Pages of a million runs.
    List,
    /// Half load for hours.
    Soak,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    pub workload: Workload,
    /// Of every measurement.
    pub seconds: u64,
    pub repeats: u64,
    /// Between the last load and the look at the memory.
    pub idle_seconds: u64,
    /// Whether the site's own count of fsyncs is compared with that of `strace`.
    pub has_strace: bool,
    /// Whether other engines run the same in turn.
    pub has_peers: bool,
    /// Of the long runs, beside ten thousand; or how many runs.
    pub iterations: u64,
}

const WORKLOADS: &str = "w1, w1-http, w2, w3, w4, long, due, list and soak";

impl Workload {
    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "w1" => Ok(Self::Steps),
            "w1-http" => Ok(Self::Calls),
            "w2" => Ok(Self::Fork),
            "w3" => Ok(Self::Rest),
            "w4" => Ok(Self::Resume),
            "long" => Ok(Self::Long),
            "due" => Ok(Self::Due),
            "list" => Ok(Self::List),
            "soak" => Ok(Self::Soak),
            _ => Err(format!("`--workload` is one of {WORKLOADS}, not `{text}`")),
        }
    }

    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Steps => "w1",
            Self::Calls => "w1-http",
            Self::Fork => "w2",
            Self::Rest => "w3",
            Self::Resume => "w4",
            Self::Long => "long",
            Self::Due => "due",
            Self::List => "list",
            Self::Soak => "soak",
        }
    }

    /// Of a measurement for which nothing else is asked.
    const fn seconds(self) -> u64 {
        match self {
            Self::Soak => 2 * 60 * 60,
            _ => 5,
        }
    }

    /// Iterations, or runs.
    const fn iterations(self) -> u64 {
        match self {
            Self::Due => 100_000,
            _ => 1_000_000,
        }
    }

    const fn has_peers(self) -> bool {
        matches!(self, Self::Steps | Self::Fork | Self::Rest | Self::Resume)
    }
}

impl Options {
    pub fn parse(flags: &[&str]) -> Result<Self, String> {
        let mut options = Self {
            workload: Workload::Steps,
            seconds: 0,
            repeats: 3,
            idle_seconds: 60,
            has_strace: false,
            has_peers: false,
            iterations: 0,
        };
        let (mut seconds, mut iterations) = (None, None);
        let mut flags = flags.iter();
        while let Some(flag) = flags.next() {
            let mut number = || {
                let text = flags.next().ok_or_else(|| format!("`{flag}` wants a number"))?;
                text.parse().map_err(|_| format!("`{flag}` wants a number, not `{text}`"))
            };
            match *flag {
                "--seconds" | "--secs" => seconds = Some(number()?),
                "--repeats" => options.repeats = number()?,
                "--idle" => options.idle_seconds = number()?,
                "--iterations" => iterations = Some(number()?),
                "--strace" => options.has_strace = true,
                "--peers" => options.has_peers = true,
                "--workload" => {
                    let text = flags.next();
                    let text =
                        text.ok_or_else(|| format!("`--workload` wants one of {WORKLOADS}"))?;
                    options.workload = Workload::parse(text)?;
                }
                _ => return Err(format!("`bench engine` does not know `{flag}`")),
            }
        }
        options.seconds = seconds.unwrap_or_else(|| options.workload.seconds());
        options.iterations = iterations.unwrap_or_else(|| options.workload.iterations());
        if options.seconds == 0 || options.repeats == 0 || options.iterations == 0 {
            return Err("`--seconds`, `--repeats` and `--iterations` are at least 1".to_owned());
        }
        let name = options.workload.name();
        if options.has_peers && !options.workload.has_peers() {
            return Err(format!("no peer's script has `{name}`: leave `--peers` out"));
        }
        let is_counted = options.workload == Workload::Steps && !options.has_peers;
        if options.has_strace && !is_counted {
            return Err("`--strace` goes with w1, and without `--peers`".to_owned());
        }
        Ok(options)
    }

    /// The report's file: one for each kind of measurement, so that none overwrites another.
    #[must_use]
    pub fn file_name(&self) -> String {
        let peers = if self.has_peers { "-peers" } else { "" };
        format!("engine-{}{peers}.json", self.workload.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mutation: take a flag that is not known, a workload that is not there, or zero seconds.
    #[test]
    fn flags_are_read_or_refused() {
        let parsed = Options::parse(&["--seconds", "2", "--idle", "0", "--strace"]).expect("good");
        assert_eq!((parsed.workload, parsed.seconds, parsed.repeats), (Workload::Steps, 2, 3));
        assert_eq!((parsed.idle_seconds, parsed.has_strace, parsed.has_peers), (0, true, false));
        let parsed = Options::parse(&["--workload", "w4", "--peers"]).expect("good");
        assert_eq!((parsed.workload, parsed.has_peers), (Workload::Resume, true));
        assert_eq!(Options::parse(&["--workload", "soak"]).expect("good").seconds, 7_200);
        for wrong in [
            &["--seconds"] as &[&str],
            &["--seconds", "x"],
            &["--secs", "0"],
            &["--repeats", "0"],
            &["--what"],
            &["--workload"],
            &["--workload", "w5"],
            &["--workload", "w2", "--strace"],
            &["--peers", "--strace"],
            &["--workload", "w1-http", "--peers"],
            &["--workload", "long", "--peers"],
            &["--workload", "soak", "--peers"],
            &["--iterations", "0"],
        ] {
            assert!(Options::parse(wrong).is_err(), "{wrong:?}");
        }
    }

    /// Mutation: leave the peers out of the name, so that a run without them overwrites it.
    #[test]
    fn each_kind_of_measurement_has_a_file_of_its_own() {
        let name = |flags: &[&str]| Options::parse(flags).expect("good flags").file_name();
        assert_eq!(name(&[]), "engine-w1.json");
        assert_eq!(name(&["--peers"]), "engine-w1-peers.json");
        assert_eq!(name(&["--workload", "w3"]), "engine-w3.json");
    }
}
