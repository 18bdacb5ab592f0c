//! What a figure was measured on, and how busy that was.

use std::fmt;

use serde_json::{Value, json};

#[derive(Debug, Default, Clone, PartialEq)]
pub struct Machine {
    cores: usize,
    processor: Option<String>,
    memory_gib: Option<u64>,
    kernel: Option<String>,
    /// Processes that wanted a core in the minute before the first measurement.
    busy: Option<f64>,
}

impl Machine {
    /// As it is now. Where the system does not say, nothing is said.
    #[must_use]
    pub fn look() -> Self {
        let read = |path: &str| std::fs::read_to_string(path).ok();
        let after = |text: String, name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name).map(str::to_owned))?;
            Some(line.trim_start_matches([' ', '\t', ':']).trim().to_owned())
        };
        let kibibytes = read("/proc/meminfo").and_then(|text| after(text, "MemTotal:"));
        let kibibytes = kibibytes.and_then(|text| text.split(' ').next()?.parse::<u64>().ok());
        Self {
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            processor: read("/proc/cpuinfo").and_then(|text| after(text, "model name")),
            memory_gib: kibibytes.map(|size| size.div_ceil(1 << 20)),
            kernel: read("/proc/sys/kernel/osrelease").map(|text| beginning(&text)),
            busy: read("/proc/loadavg").and_then(|text| text.split(' ').next()?.parse().ok()),
        }
    }

    #[must_use]
    pub fn json(&self) -> Value {
        json!({
            "cores": self.cores,
            "processor": self.processor,
            "memoryGiB": self.memory_gib,
            "kernel": self.kernel,
            "loadBefore": self.busy,
        })
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} cores", self.cores)?;
        if let Some(memory) = self.memory_gib {
            write!(f, ", {memory} GiB")?;
        }
        if let Some(kernel) = &self.kernel {
            write!(f, ", Linux {kernel}")?;
        }
        match self.busy {
            Some(busy) => write!(f, "; load before the first measurement {busy}"),
            None => Ok(()),
        }
    }
}

/// `6.1.0-20-amd64` as `6.1`: what comes behind names a vendor.
fn beginning(release: &str) -> String {
    release.trim().split('.').take(2).collect::<Vec<_>>().join(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mutation: show nothing of how busy the machine was.
    #[test]
    fn a_machine_says_how_busy_it_was() {
        let machine =
            Machine { cores: 2, memory_gib: Some(8), busy: Some(1.5), ..Machine::default() };
        assert_eq!(machine.to_string(), "2 cores, 8 GiB; load before the first measurement 1.5");
        assert_eq!(Machine::default().to_string(), "0 cores");
        assert_eq!(beginning("6.1.0-20-amd64\n"), "6.1");
    }
}
