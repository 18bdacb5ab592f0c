//! Names for definitions by content: a digest over a document's text and over the digests of all
//! that it refers to. The written form is in `docs/spec/revision.md`.
//!
//! Documents that refer to each other in a cycle have no order in which they could be named, so
//! each such group is named as one and its members by their names within it.

use std::collections::{BTreeMap, HashSet};
use std::fmt;

use base::Digest;

const REVISION_TAG: &str = "isonomy.revision.v1";
const GROUP_TAG: &str = "isonomy.revision.group.v1";
const MEMBER_TAG: &str = "isonomy.revision.member.v1";

/// What kind of thing a document refers to. The text is part of the written form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ReferenceKind {
    Function,
    Workflow,
    Schema,
    Script,
    OpenApi,
}

impl ReferenceKind {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Function => "function",
            Self::Workflow => "workflow",
            Self::Schema => "schema",
            Self::Script => "script",
            Self::OpenApi => "openapi",
        }
    }
}

/// For people.
impl fmt::Display for ReferenceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Function | Self::Workflow | Self::Schema | Self::Script => self.as_str(),
            Self::OpenApi => "OpenAPI document",
        })
    }
}

/// A reference as the document has it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReferenceTo {
    pub kind: ReferenceKind,
    pub name: String,
}

/// A reference and what it led to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    pub to: ReferenceTo,
    pub digest: Digest,
}

/// A workflow whose references are not digests yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unresolved {
    /// By which other documents refer to it, as a reference of the kind `workflow`.
    pub name: String,
    /// Other references that lead to it too, such as the one to the `latest` version.
    pub also: Vec<String>,
    pub text: String,
    pub references: Vec<ReferenceTo>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RevisionError {
    #[error("`{from}` refers to the {} `{}`, which is not known", to.kind, to.name)]
    Unresolved { from: String, to: ReferenceTo },
    #[error("two documents are named `{name}`")]
    Duplicate { name: String },
}

/// The digest of a document all of whose references are resolved. Their order does not matter.
#[must_use]
pub fn revision(text: &str, references: &[Reference]) -> Digest {
    let mut encoder = Encoder::new(REVISION_TAG);
    encoder.bytes(text.as_bytes());
    encoder.references(references.to_vec());
    encoder.digest()
}

/// The digests of documents that may refer to each other, by name. Everything outside of them is
/// asked of `known`.
pub fn revision_digests(
    documents: &[Unresolved],
    known: &dyn Fn(&ReferenceTo) -> Option<Digest>,
) -> Result<BTreeMap<String, Digest>, RevisionError> {
    let mut index = BTreeMap::new();
    for (number, document) in documents.iter().enumerate() {
        for name in std::iter::once(&document.name).chain(&document.also) {
            if index.insert(name.as_str(), number).is_some() {
                return Err(RevisionError::Duplicate { name: name.clone() });
            }
        }
    }
    let mut naming = Naming { documents, index, known, digests: BTreeMap::new() };
    let edges: Vec<Vec<usize>> = documents
        .iter()
        .map(|document| document.references.iter().filter_map(|to| naming.inside(to)).collect())
        .collect();
    // Groups come in an order in which everything that a group refers to has its digest already.
    for group in groups(&edges) {
        let is_cycle = group.len() > 1 || edges[group[0]].contains(&group[0]);
        if is_cycle {
            naming.name_group(group)?;
        } else {
            naming.name_one(group[0])?;
        }
    }
    Ok(naming.digests)
}

struct Naming<'a> {
    documents: &'a [Unresolved],
    index: BTreeMap<&'a str, usize>,
    known: &'a dyn Fn(&ReferenceTo) -> Option<Digest>,
    digests: BTreeMap<String, Digest>,
}

impl Naming<'_> {
    /// The document that a reference leads to, if it is among those to be named.
    fn inside(&self, to: &ReferenceTo) -> Option<usize> {
        let number = self.index.get(to.name.as_str()).copied();
        number.filter(|_| to.kind == ReferenceKind::Workflow)
    }

    fn name_one(&mut self, number: usize) -> Result<(), RevisionError> {
        let document = &self.documents[number];
        let digest = revision(&document.text, &self.outside(number, &HashSet::new())?);
        self.digests.insert(document.name.clone(), digest);
        Ok(())
    }

    fn name_group(&mut self, mut group: Vec<usize>) -> Result<(), RevisionError> {
        group.sort_by_key(|number| &self.documents[*number].name);
        let members: HashSet<usize> = group.iter().copied().collect();
        let mut encoder = Encoder::new(GROUP_TAG);
        encoder.number(group.len());
        for number in &group {
            encoder.bytes(self.documents[*number].name.as_bytes());
            encoder.bytes(self.documents[*number].text.as_bytes());
            encoder.references(self.outside(*number, &members)?);
        }
        let whole = encoder.digest();
        for number in group {
            let name = &self.documents[number].name;
            let mut encoder = Encoder::new(MEMBER_TAG);
            encoder.bytes(whole.as_bytes());
            encoder.bytes(name.as_bytes());
            self.digests.insert(name.clone(), encoder.digest());
        }
        Ok(())
    }

    /// What a document refers to outside of its group, resolved.
    fn outside(
        &self,
        number: usize,
        members: &HashSet<usize>,
    ) -> Result<Vec<Reference>, RevisionError> {
        let document = &self.documents[number];
        let resolve = |to: &ReferenceTo| {
            let name = |number: usize| &self.documents[number].name;
            let own = self.inside(to).and_then(|it| self.digests.get(name(it)).copied());
            match own.or_else(|| (self.known)(to)) {
                Some(digest) => Ok(Reference { to: to.clone(), digest }),
                None => {
                    Err(RevisionError::Unresolved { from: document.name.clone(), to: to.clone() })
                }
            }
        };
        let is_outside =
            |to: &&ReferenceTo| !self.inside(to).is_some_and(|it| members.contains(&it));
        document.references.iter().filter(is_outside).map(resolve).collect()
    }
}

/// Every part with its length before it, so that no two different inputs have the same bytes.
struct Encoder(Vec<u8>);

impl Encoder {
    fn new(tag: &str) -> Self {
        let mut encoder = Self(Vec::new());
        encoder.bytes(tag.as_bytes());
        encoder
    }

    fn number(&mut self, number: usize) {
        self.0.extend_from_slice(&(number as u64).to_be_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len());
        self.0.extend_from_slice(bytes);
    }

    fn references(&mut self, mut references: Vec<Reference>) {
        references.sort();
        references.dedup();
        self.number(references.len());
        for reference in references {
            self.bytes(reference.to.kind.as_str().as_bytes());
            self.bytes(reference.to.name.as_bytes());
            self.bytes(reference.digest.as_bytes());
        }
    }

    fn digest(&self) -> Digest {
        Digest::of(&self.0)
    }
}

/// The strongly connected groups, each after all that it leads to (Tarjan). Not recursive: a chain
/// of references may be as long as there are documents.
fn groups(edges: &[Vec<usize>]) -> Vec<Vec<usize>> {
    let mut walk = Walk {
        order: vec![None; edges.len()],
        low: vec![0; edges.len()],
        waiting: Vec::new(),
        is_waiting: vec![false; edges.len()],
        next: 0,
        groups: Vec::new(),
    };
    for start in 0..edges.len() {
        if walk.order[start].is_none() {
            walk.from(start, edges);
        }
    }
    walk.groups
}

struct Walk {
    order: Vec<Option<usize>>,
    /// The earliest node that is known to be in the same group.
    low: Vec<usize>,
    waiting: Vec<usize>,
    is_waiting: Vec<bool>,
    next: usize,
    groups: Vec<Vec<usize>>,
}

impl Walk {
    fn from(&mut self, start: usize, edges: &[Vec<usize>]) {
        self.enter(start);
        let mut path = vec![(start, 0)];
        while let Some((node, edge)) = path.last_mut() {
            let node = *node;
            if let Some(&target) = edges[node].get(*edge) {
                *edge += 1;
                match self.order[target] {
                    None => {
                        self.enter(target);
                        path.push((target, 0));
                    }
                    Some(order) if self.is_waiting[target] => {
                        self.low[node] = self.low[node].min(order);
                    }
                    Some(_) => {}
                }
                continue;
            }
            path.pop();
            if let Some((parent, _)) = path.last() {
                self.low[*parent] = self.low[*parent].min(self.low[node]);
            }
            if Some(self.low[node]) == self.order[node] {
                self.leave(node);
            }
        }
    }

    fn enter(&mut self, node: usize) {
        self.order[node] = Some(self.next);
        self.low[node] = self.next;
        self.next += 1;
        self.waiting.push(node);
        self.is_waiting[node] = true;
    }

    fn leave(&mut self, first: usize) {
        let from = self.waiting.iter().rposition(|node| *node == first);
        let group =
            self.waiting.split_off(from.expect("the first of a group waits until it is left"));
        for node in &group {
            self.is_waiting[*node] = false;
        }
        self.groups.push(group);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to(kind: ReferenceKind, name: &str) -> ReferenceTo {
        ReferenceTo { kind, name: name.into() }
    }

    /// `a: b c echo!` is a document `a` that refers to the workflows `b`, `c` and the function
    /// `echo`; its text is what stands before `|`, or its name.
    fn documents(lines: &[&str]) -> Vec<Unresolved> {
        let parse = |line: &&str| {
            let (name, references) = line.split_once(':').expect("a colon");
            let (name, text) = name.split_once('=').unwrap_or((name, name));
            let references =
                references.split_whitespace().map(|word| match word.strip_suffix('!') {
                    Some(function) => to(ReferenceKind::Function, function),
                    None => to(ReferenceKind::Workflow, word),
                });
            Unresolved {
                name: name.into(),
                also: Vec::new(),
                text: text.into(),
                references: references.collect(),
            }
        };
        lines.iter().map(parse).collect()
    }

    fn digests(lines: &[&str]) -> BTreeMap<String, Digest> {
        let known = |to: &ReferenceTo| {
            (to.kind == ReferenceKind::Function).then(|| Digest::of(to.name.as_bytes()))
        };
        let documents = documents(lines);
        let forward = revision_digests(&documents, &known).expect("resolved");
        let backward: Vec<Unresolved> = documents.into_iter().rev().collect();
        assert_eq!(revision_digests(&backward, &known), Ok(forward.clone()), "order matters");
        forward
    }

    /// Which names have another digest in the second than in the first.
    fn changed(first: &[&str], second: &[&str]) -> String {
        let (first, second) = (digests(first), digests(second));
        let names = first.keys().filter(|name| first[*name] != second[*name]);
        names.map(String::as_str).collect::<Vec<_>>().join(" ")
    }

    /// Mutation: leave the text, a reference's digest or the internal groups out of the digest.
    #[test]
    fn a_change_changes_the_document_its_cycle_and_all_that_refer_to_it() {
        // A chain: a → b → c, and d apart.
        check("c=x: ", "a b c", &["a: b", "b: c", "c: ", "d: "]);
        check("a=x: b", "a", &["a: b", "b: c", "c: ", "d: "]);
        // A diamond: a → b, c → d.
        check("d=x: ", "a b c d", &["a: b c", "b: d", "c: d", "d: "]);
        check("c=x: d", "a c", &["a: b c", "b: d", "c: d", "d: "]);
        // A self loop.
        check("s=x: s", "a s", &["a: s", "s: s", "d: "]);
        // A cycle of two, one before it and one behind it.
        check("c=x: b", "a b c", &["a: b", "b: c z", "c: b", "z: "]);
        check("b=x: c z", "a b c", &["a: b", "b: c z", "c: b", "z: "]);
        check("z=x: ", "a b c z", &["a: b", "b: c z", "c: b", "z: "]);
        check("a=x: b", "a", &["a: b", "b: c z", "c: b", "z: "]);
        // A function that is another one.
        check("c: b echo2!", "a b c", &["a: b", "b: c", "c: b echo!"]);
    }

    fn check(change: &str, expected: &str, lines: &[&str]) {
        let name = change.split([':', '=']).next().expect("a name");
        let edited: Vec<&str> = lines
            .iter()
            .map(|line| if line.split(':').next() == Some(name) { change } else { line })
            .collect();
        assert_eq!(changed(lines, &edited), expected, "{change} in {lines:?}");
    }

    /// Mutation: give the members of a group the digest of the group.
    #[test]
    fn every_document_has_a_digest_of_its_own() {
        let all = digests(&["a=t: b", "b=t: a", "c=t: c", "d=t: ", "e=t: echo!"]);
        let distinct: std::collections::BTreeSet<&Digest> = all.values().collect();
        assert_eq!(distinct.len(), 5);
    }

    /// Mutation: join the parts without lengths.
    #[test]
    fn parts_cannot_be_moved_into_each_other() {
        let reference = |name: &str| Reference {
            to: to(ReferenceKind::Function, name),
            digest: Digest::of(b"x"),
        };
        assert_ne!(revision("a", &[reference("bc")]), revision("ab", &[reference("c")]));
        assert_ne!(revision("a", &[]), revision("a", &[reference("b")]));
        let twice = [reference("b"), reference("c"), reference("b")];
        assert_eq!(revision("a", &twice), revision("a", &[reference("c"), reference("b")]));
    }

    /// Mutation: change a tag, the order of the parts, or the width of a length. Such a change is a
    /// new format and needs a new tag.
    #[test]
    fn the_written_form_is_the_one_in_the_specification() {
        let echo = Reference {
            to: to(ReferenceKind::Function, "echo:1.0.0@default"),
            digest: Digest::of(b"echo"),
        };
        assert_eq!(
            revision("do: []\n", &[]).to_string(),
            "b3:c960b2c8fdf1c7d3cd830c6c228e17b2dd55dc4d3cd3d44f5e0b1ff1d9d1677c"
        );
        assert_eq!(
            revision("do: []\n", &[echo]).to_string(),
            "b3:d69ecdeb50ba41d615d650ca9b9c69398cdceaabbcac24337bb471b68e7b41c2"
        );
        assert_eq!(
            digests(&["a: b", "b: a"])["a"].to_string(),
            "b3:98ecddae85d507687409b830cb6f5d9b93388ae84299ce9667aaba3739f1faef"
        );
    }

    /// Mutation: skip what `known` does not know; let the later of two equal names win.
    #[test]
    fn what_cannot_be_resolved_is_refused_by_name() {
        let refused = |lines: &[&str]| {
            revision_digests(&documents(lines), &|_| None).expect_err("refused").to_string()
        };
        assert_eq!(
            refused(&["a: b", "b: c"]),
            "`b` refers to the workflow `c`, which is not known"
        );
        assert_eq!(
            refused(&["a: b echo!", "b: a"]),
            "`a` refers to the function `echo`, which is not known"
        );
        assert_eq!(refused(&["a: ", "a: "]), "two documents are named `a`");
    }

    /// Mutation: walk recursively.
    #[test]
    fn a_long_chain_does_not_exhaust_the_stack() {
        let lines: Vec<String> =
            (0..20_000).map(|n| format!("{n:05}: {:05}", (n + 1) % 20_000)).collect();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let known = |_: &ReferenceTo| None;
        assert_eq!(
            revision_digests(&documents(&lines[..]), &known).map(|all| all.len()),
            Ok(20_000)
        );
    }
}
