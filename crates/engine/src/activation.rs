//! The identity of executions.
//!
//! A JSON pointer is not one: backward `then`, loops, branches and retries run one pointer many
//! times. An activation names exactly one execution of a task, and reads like a path:
//!
//! ```text
//! /screen/each[17]/guard/score          17th iteration of `each`, then `guard`, then `score`
//! /screen/each[17]/guard!2/score        the same, in the second attempt of the try task `guard`
//! /poll#3                               the third visit of `poll` by a backward `then`
//! /guard!2.catch/undo                   in the handler of `guard`
//! /score*2                              `score` done again by `runs retry`
//! /score.before0/log                    before `score`, by the first extension
//! ```

use std::fmt;
use std::fmt::Write as _;
use std::sync::Arc;

use base::RunId;
use serde::{Deserialize, Serialize};

/// One execution of a task within its run.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Activation(Arc<str>);

/// What tells an outside service that two requests are one effect: the activation without its
/// attempts, and how many definite responses were recorded for it before.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct IdempotencyKey(Arc<str>);

impl Activation {
    /// The run itself: the parent of its first tasks.
    #[must_use]
    pub fn root() -> Self {
        Self("".into())
    }

    /// The task `name` below this place, at its `visit`-th time there.
    #[must_use]
    pub fn task(&self, name: &str, visit: u32) -> Self {
        let mut path = String::with_capacity(self.0.len() + name.len() + 4);
        path.push_str(&self.0);
        path.push('/');
        escape(name, &mut path);
        if visit > 1 {
            write!(path, "#{visit}").expect("writing to a string");
        }
        Self(path.into())
    }

    #[must_use]
    pub fn iteration(&self, index: u64) -> Self {
        Self(format!("{}[{index}]", self.0).into())
    }

    /// The n-th attempt of a try task; the first is not marked.
    #[must_use]
    pub fn attempt(&self, attempt: u32) -> Self {
        if attempt <= 1 { self.clone() } else { Self(format!("{}!{attempt}", self.0).into()) }
    }

    /// The handler of a try task.
    #[must_use]
    pub fn catch(&self) -> Self {
        Self(format!("{}.catch", self.0).into())
    }

    /// The tasks of the n-th extension before this one; the first extension is 0.
    #[must_use]
    pub fn before(&self, extension: u32) -> Self {
        Self(format!("{}.before{extension}", self.0).into())
    }

    /// The tasks of the n-th extension after this one.
    #[must_use]
    pub fn after(&self, extension: u32) -> Self {
        Self(format!("{}.after{extension}", self.0).into())
    }

    /// The n-th time that a person had this task done; the first is not marked. Replaces an earlier
    /// mark: names are escaped, so the last `*` can only be one.
    #[must_use]
    pub fn again(&self, time: u32) -> Self {
        // One further up belongs to the task that this one extends.
        let name = self.0.rfind('/').unwrap_or(0);
        let mark = self.0[name..].rfind('*').map_or(self.0.len(), |at| name + at);
        let first = &self.0[..mark];
        if time <= 1 { Self(first.into()) } else { Self(format!("{first}*{time}").into()) }
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The same place with every attempt taken out: what a repetition of one effect shares.
    #[must_use]
    pub fn without_attempts(&self) -> String {
        self.without(&['!', '*'])
    }

    /// The same place however often a person had it done: what `runs retry` goes on with.
    #[must_use]
    pub fn without_times(&self) -> Self {
        Self(self.without(&['*']).into())
    }

    /// Without these marks and their numbers.
    fn without(&self, marks: &[char]) -> String {
        let mut out = String::with_capacity(self.0.len());
        let mut dropping = false;
        for character in self.0.chars() {
            match character {
                mark if marks.contains(&mark) => dropping = true,
                '0'..='9' if dropping => {}
                other => {
                    dropping = false;
                    out.push(other);
                }
            }
        }
        out
    }
}

/// Names may hold any character; the marks of an activation stay unambiguous.
fn escape(name: &str, out: &mut String) {
    for character in name.chars() {
        match character {
            '%' | '/' | '[' | ']' | '!' | '*' | '#' | '.' => {
                write!(out, "%{:02X}", u32::from(character)).expect("writing to a string");
            }
            plain => out.push(plain),
        }
    }
}

impl IdempotencyKey {
    #[must_use]
    pub fn new(run: RunId, activation: &Activation, definite: u32) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(run.as_uuid().as_bytes());
        hasher.update(activation.without_attempts().as_bytes());
        let hex = hasher.finalize().to_hex();
        Self(format!("{}-{definite}", &hex[..32]).into())
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Activation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "/" } else { &self.0 })
    }
}

impl fmt::Display for IdempotencyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mutation: do not escape a mark, or do not write the visit.
    #[test]
    fn different_executions_have_different_activations() {
        let root = Activation::root();
        let all = [
            root.task("a", 1),
            root.task("a", 2),
            root.task("a#2", 1),
            root.task("a", 1).iteration(0).task("b", 1),
            root.task("a[0]", 1).task("b", 1),
            root.task("a", 1).attempt(2).task("b", 1),
            root.task("a!2", 1).task("b", 1),
            root.task("a", 1).catch().task("b", 1),
            root.task("a.catch", 1).task("b", 1),
            root.task("a", 1).again(2),
            root.task("a*2", 1),
            root.task("a", 1).before(0).task("b", 1),
            root.task("a", 1).before(1).task("b", 1),
            root.task("a", 1).after(0).task("b", 1),
            root.task("a.before0", 1).task("b", 1),
            root.task("a", 1).again(2).before(0).task("b", 1),
            root.task("a", 1).again(2).before(0).task("b", 1).again(2),
            root.task("a", 1).again(3).before(0).task("b", 1).again(2),
            root.task("a/b", 1),
            root.task("a", 1).task("b", 1),
        ];
        let distinct: std::collections::BTreeSet<_> = all.iter().collect();
        assert_eq!(distinct.len(), all.len(), "{all:?}");
    }

    /// Mutation: replace the mark of a task further up, or leave the one before.
    #[test]
    fn a_mark_is_replaced_in_the_last_name_only() {
        let task = Activation::root().task("group", 1).again(7).task("name", 1);
        assert_eq!(task.again(2).as_str(), "/group*7/name*2");
        assert_eq!(task.again(2).again(3).as_str(), "/group*7/name*3");
        assert_eq!(task.again(2).again(1), task);
    }

    /// Mutation: keep the attempt in the key, drop the iteration from it, or ignore the responses.
    #[test]
    fn a_key_is_the_activation_without_attempts() {
        let run = RunId::from_uuid(uuid());
        let key =
            |activation: &Activation, definite| IdempotencyKey::new(run, activation, definite);
        let guard = Activation::root().task("loop", 1).iteration(12).task("guard", 1);
        let first = guard.attempt(1).task("pay", 1);
        let third = guard.attempt(3).task("pay", 1).again(2);
        assert_eq!(key(&first, 0), key(&third, 0));
        assert_ne!(key(&first, 0), key(&first, 1));
        let other = Activation::root().task("loop", 1).iteration(1).task("guard", 1).task("pay", 1);
        assert_ne!(key(&first, 0), key(&other, 0));
    }

    fn uuid() -> uuid::Uuid {
        uuid::Uuid::from_u128(7)
    }
}
