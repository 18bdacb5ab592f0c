//! What the system says of a process. Linux only: elsewhere there are no figures, not wrong ones.

use std::ops::Add;
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
pub fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// One process of a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    pub pid: u32,
    /// The first fifteen characters of its program's name.
    pub name: String,
    pub usage: Option<Usage>,
    pub memory: Option<Resident>,
    /// Processor time of its children that have ended.
    pub ended_children: Duration,
}

/// The process and all that descend from it, itself first.
#[must_use]
pub fn tree(pid: u32) -> Vec<Process> {
    let folders = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = folders.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let families: Vec<(u32, u32)> =
        pids.filter_map(|pid| Some((pid, parent(&read(pid, "stat")?)?))).collect();
    descendants(pid, &families).into_iter().filter_map(look).collect()
}

/// `families`: processes with their parents.
fn descendants(pid: u32, families: &[(u32, u32)]) -> Vec<u32> {
    let mut found = vec![pid];
    let mut next = 0;
    while let Some(&parent) = found.get(next) {
        let children = families.iter().filter(|(_, of)| *of == parent).map(|(child, _)| *child);
        // What runs during the reading may appear twice: a number can be taken again.
        let fresh: Vec<u32> = children.filter(|child| !found.contains(child)).collect();
        found.extend(fresh);
        next += 1;
    }
    found
}

fn look(pid: u32) -> Option<Process> {
    let stat = read(pid, "stat")?;
    let (usage, memory) = (usage(pid), memory(pid));
    let (name, ended_children) = (name(&stat)?, ended_children(&stat)?);
    Some(Process { pid, name, usage, memory, ended_children })
}

#[must_use]
pub fn threads(pid: u32) -> Option<u64> {
    field(&read(pid, "status")?, "Threads:")
}

/// How many files and sockets it has open.
#[must_use]
pub fn files(pid: u32) -> Option<usize> {
    Some(std::fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count())
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

impl Add for Usage {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        let (processor, written) = (self.processor + other.processor, self.written + other.written);
        Self { processor, written }
    }
}

impl Add for Resident {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        let (whole, anonymous) = (self.whole + other.whole, self.anonymous + other.anonymous);
        Self { whole, anonymous }
    }
}

fn read(pid: u32, file: &str) -> Option<String> {
    std::fs::read_to_string(format!("/proc/{pid}/{file}")).ok()
}

/// User and system time of all threads: fields 14 and 15.
fn processor(stat: &str) -> Option<Duration> {
    ticks(number(stat, 14)? + number(stat, 15)?)
}

/// Fields 16 and 17.
fn ended_children(stat: &str) -> Option<Duration> {
    ticks(number(stat, 16)? + number(stat, 17)?)
}

fn ticks(number: u64) -> Option<Duration> {
    Some(Duration::from_millis(number.checked_mul(1000)? / TICKS_PER_SECOND))
}

fn parent(stat: &str) -> Option<u32> {
    number(stat, 4)?.try_into().ok()
}

fn name(stat: &str) -> Option<String> {
    let (_, rest) = stat.split_once('(')?;
    Some(rest.rsplit_once(')')?.0.to_owned())
}

/// Fields as the system counts them, from 1. The second, a name in parentheses, may hold spaces.
fn number(stat: &str, field: usize) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(field.checked_sub(3)?)?.parse().ok()
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
        assert_eq!(ended_children(stat), Some(Duration::from_millis(270)));
        assert_eq!((parent(stat), name(stat).as_deref()), (Some(1), Some("a (b) c")));
        assert_eq!(field("a: 1\nRssAnon:\t  123 kB\n", "RssAnon:"), Some(123));
        assert_eq!(field("a: 1\n", "RssAnon:"), None);
    }

    /// Mutation: take children only, or go round where a number names its own parent.
    #[test]
    fn a_tree_has_children_and_grandchildren() {
        let families = [(1, 0), (5, 1), (7, 5), (8, 7), (9, 1), (6, 6)];
        assert_eq!(descendants(5, &families), [5, 7, 8]);
        assert_eq!(descendants(6, &families), [6]);
        let own = tree(std::process::id());
        assert!(own.is_empty() || own[0].pid == std::process::id());
    }
}
