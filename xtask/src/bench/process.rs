//! What the system says of a process. Linux only: elsewhere there are no figures, not wrong ones.

use std::time::Duration;

/// The unit of processor time in `/proc`, which the kernel's interface fixes.
const TICKS_PER_SECOND: u64 = 100;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    pub processor: Duration,
    /// Bytes that went towards the disk.
    pub written: u64,
}

/// In bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resident {
    pub whole: u64,
    pub anonymous: u64,
}

#[must_use]
pub fn usage(pid: u32) -> Option<Usage> {
    let processor = processor(&read(pid, "stat")?)?;
    let written = field(&read(pid, "io")?, "write_bytes:")?;
    Some(Usage { processor, written })
}

#[must_use]
pub fn memory(pid: u32) -> Option<Resident> {
    let status = read(pid, "status")?;
    let kibibytes = |name| field(&status, name).map(|size| size * 1024);
    Some(Resident { whole: kibibytes("VmRSS:")?, anonymous: kibibytes("RssAnon:")? })
}

impl Usage {
    #[must_use]
    pub fn between(before: Option<Self>, after: Option<Self>) -> Option<Self> {
        let (before, after) = (before?, after?);
        Some(Self {
            processor: after.processor.checked_sub(before.processor)?,
            written: after.written.checked_sub(before.written)?,
        })
    }
}

fn read(pid: u32, file: &str) -> Option<String> {
    std::fs::read_to_string(format!("/proc/{pid}/{file}")).ok()
}

/// User and system time of all threads: fields 14 and 15. The name in parentheses may hold spaces.
fn processor(stat: &str) -> Option<Duration> {
    let (_, rest) = stat.rsplit_once(')')?;
    let ticks = |index: usize| rest.split_whitespace().nth(index)?.parse::<u64>().ok();
    let ticks = ticks(11)? + ticks(12)?;
    Some(Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND))
}

fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mutation: count fields from the beginning, where a name with spaces moves them.
    #[test]
    fn processor_time_is_user_and_system_time() {
        let stat = "42 (a (b) c) S 1 2 3 4 5 6 7 8 9 10 250 50 13 14";
        assert_eq!(processor(stat), Some(Duration::from_secs(3)));
        assert_eq!(field("a: 1\nRssAnon:\t  123 kB\n", "RssAnon:"), Some(123));
        assert_eq!(field("a: 1\n", "RssAnon:"), None);
    }
}
