//! Loops over lists that lie in blobs: which lists the run believes in, and the way through one.
//!
//! A loop has one piece of its list in memory. Between two iterations, where the next item is behind
//! it, the loop asks for the next piece and waits.

use std::collections::BTreeSet;
use std::sync::Arc;

use base::value::{ValueError, fits, kind, to_json};
use base::{Digest, ErrorType, Fault, Value};
use store::BlobId;

use super::advance::Next;
use super::evaluate::Halt;
use super::node::{Body, Held, Items, Node, NodeId, Part, Phase};
use super::{Effect, Machine};
use crate::list::{LIST_HELD_BYTES_MIN, List, Piece, ReadNo};
use crate::record::Decided;

/// The rules since which a large list that was computed inside is held.
const SEMANTICS_HOLDING: u32 = 2;

/// Lists that a run knows before it looks which of them it still refers to, and again at each
/// doubling: whoever reads a file each hour for years must not grow.
const LISTS_KEPT_MIN: usize = 64;

impl Machine {
    /// What a loop goes over, from what `for.in` has given.
    pub(super) fn items(&mut self, node: &Node, given: Value) -> Result<Items, Halt> {
        let held = |list| Items::Held(Held { list, part: None, reading: None });
        match given {
            Value::Arr(items) => {
                let holds = self.header().semantics >= SEMANTICS_HOLDING;
                let given = Value::Arr(items.clone());
                let is_large =
                    matches!(fits(&given, LIST_HELD_BYTES_MIN), Err(ValueError::TooLarge(_)));
                Ok(if holds && is_large {
                    held(self.hold(node, &items))
                } else {
                    Items::Values(items)
                })
            }
            given => match List::of_reference(&given).map(|list| self.knows_list(list)) {
                Some(Some(list)) => Ok(held(list)),
                Some(None) => Err(no_array("a reference to a list that this run does not hold")),
                None => Err(no_array(kind(&given))),
            },
        }
    }

    /// Puts a list into a blob of this record's commit.
    fn hold(&mut self, node: &Node, items: &Arc<Vec<Value>>) -> List {
        let text = to_json(&Value::Arr(items.clone()));
        let (blob, bytes) = (Digest::of(&text), text.len() as u64);
        let list = List { blob, bytes, items: items.len() as u64 };
        self.traced("hold", &blob.to_string());
        let activation = node.activation.clone();
        self.step.decided.push(Decided::Holding { activation, list });
        self.step.held.push((blob, text.into()));
        list
    }

    /// Something that happened has brought these.
    pub(super) fn told_of(&mut self, lists: &[List]) {
        for list in lists {
            self.traced("list", &list.blob.to_string());
            self.lists.insert(list.blob, *list);
            if self.lists.len() >= LISTS_KEPT_MIN && self.lists.len().is_power_of_two() {
                self.forget_lists(list.blob);
            }
        }
    }

    /// Forgets lists that no value of the run refers to, but the one that has just come: it has no
    /// value yet.
    fn forget_lists(&mut self, new: BlobId) {
        let mut named = BTreeSet::from([new]);
        self.values().iter().for_each(|value| references(value, &mut named));
        self.lists.retain(|blob, _| named.contains(blob));
    }

    fn knows_list(&self, list: List) -> Option<List> {
        self.lists.get(&list.blob).copied().filter(|known| *known == list)
    }

    /// The loop asks for its next piece.
    pub(super) fn read_on(&mut self, id: NodeId, node: &mut Node) -> Next {
        let Some(held) = node.held() else { return Next::Block };
        if held.reading.is_none() {
            self.read_last.0 += 1;
            let read = self.read_last;
            held.reading = Some(read);
            let effect = Effect::Read(read, held.list.blob, held.next());
            self.traced("read", node.activation.as_str());
            self.step.effects.push(effect);
            self.reads.insert(read, id);
        }
        Next::Block
    }

    pub(super) fn read_effect(&self, read: ReadNo, id: NodeId) -> Option<Effect> {
        let Phase::Body(Body::For(state)) = &self.arena.get(id)?.phase else { return None };
        let Items::Held(held) = &state.items else { return None };
        Some(Effect::Read(read, held.list.blob, held.next()))
    }

    /// The next piece has come.
    pub(super) fn read(&mut self, read: ReadNo, piece: Piece, items: &Arc<Vec<Value>>) {
        let id = self.reads.remove(&read).expect("checked by `fits`");
        let Some(held) = self.arena.get_mut(id).and_then(Node::held) else { return };
        let first = held.part.as_ref().map_or(0, |part| part.first + part.piece.items);
        held.part = Some(Part { piece, first, items: items.clone() });
        held.reading = None;
        self.traced("piece", &piece.offset.to_string());
        self.ready.push_back(id);
    }

    /// The node waits for no piece any more.
    pub(super) fn unread(&mut self, node: &mut Node) {
        if let Some(read) = node.stops_reading() {
            self.reads.remove(&read);
        }
    }
}

fn no_array(given: &str) -> Halt {
    let what = format!("`for.in` gives {given}, and only an array can be looped over");
    Fault::new(ErrorType::Expression, what).into()
}

/// All that look like references to lists.
fn references(value: &Value, named: &mut BTreeSet<BlobId>) {
    match value {
        Value::Arr(items) => items.iter().for_each(|item| references(item, named)),
        Value::Obj(fields) => match List::of_reference(value) {
            Some(list) => drop(named.insert(list.blob)),
            None => fields.values().for_each(|field| references(field, named)),
        },
        Value::Null | Value::Bool(_) | Value::Num(_) | Value::BStr(_) | Value::TStr(_) => {}
    }
}

impl Items {
    #[must_use]
    pub fn count(&self) -> u64 {
        match self {
            Self::Values(items) => items.len() as u64,
            Self::Held(held) => held.list.items,
        }
    }

    /// An item that is in memory.
    #[must_use]
    pub fn get(&self, index: u64) -> Option<&Value> {
        let (items, first) = match self {
            Self::Values(items) => (items, 0),
            Self::Held(held) => held.part.as_ref().map(|part| (&part.items, part.first))?,
        };
        items.get(usize::try_from(index.checked_sub(first)?).ok()?)
    }
}

impl Held {
    /// Where the piece after the one in memory begins.
    fn next(&self) -> u64 {
        self.part.as_ref().map_or(List::FIRST, |part| part.piece.end())
    }
}

impl Node {
    fn held(&mut self) -> Option<&mut Held> {
        let Phase::Body(Body::For(state)) = &mut self.phase else { return None };
        match &mut state.items {
            Items::Held(held) => Some(held),
            Items::Values(_) => None,
        }
    }

    /// Takes the read that it waits for.
    pub(super) fn stops_reading(&mut self) -> Option<ReadNo> {
        self.held().and_then(|held| held.reading.take())
    }
}
