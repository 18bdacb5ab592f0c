//! What a task is in the middle of, put away and taken up again.

use std::sync::Arc;

use base::Value;

use super::super::node::{
    Body, Branches, Guard, GuardStage, Held, Items, ListenStage, Listening, Loop, Part, Seq,
    Timeout,
};
use super::action::action_doc;
use super::{Back, SnapshotError, Taken, variable_docs};
use crate::format::FormatError;
use crate::format::snapshot_doc::{
    BodyDoc, GuardDoc, HeldDoc, ListenStageDoc, ListeningDoc, PartDoc, SeqDoc, StageDoc,
    TimeoutDoc, ValueRef, Values,
};
use crate::listen::Progress;
use crate::machine::counts::Counts;

pub(super) fn body_doc(body: &Body, values: &mut Values) -> BodyDoc {
    match body {
        Body::Begin => BodyDoc::Begin,
        Body::Sequence(seq) => BodyDoc::Sequence(seq_doc(seq)),
        Body::For(state) => {
            let (items, held) = match &state.items {
                Items::Values(items) => (Some(values.put(&Value::Arr(items.clone()))), None),
                Items::Held(held) => (None, Some(held_doc(held))),
            };
            let (data, seq) = (values.put(&state.data), state.seq.as_ref().map(seq_doc));
            BodyDoc::For { items, held, index: state.index, data, seq }
        }
        Body::Try(guard) => BodyDoc::Try(GuardDoc {
            attempt: guard.attempt,
            started_at: guard.started_at,
            stage: stage_doc(&guard.stage),
            // Hexadecimal would only be needed above 2^53; these numbers are read by nobody else.
            definite: guard.definite.answered.clone().into_iter().collect(),
            asked: guard.definite.asked.clone().into_iter().collect(),
            floor: guard.definite.floor,
        }),
        Body::Fork(state) => BodyDoc::Fork {
            outputs: state
                .outputs
                .iter()
                .map(|one| one.as_ref().map(|one| values.put(one)))
                .collect(),
        },
        Body::Wait { timer, until } => BodyDoc::Wait { timer: *timer, until: *until },
        Body::Effect { effect, key, action } => BodyDoc::Effect {
            effect: *effect,
            key: key.clone(),
            action: action_doc(action, values),
        },
        Body::Listen(listening) => BodyDoc::Listen(listening_doc(listening, values)),
    }
}

fn held_doc(held: &Held) -> HeldDoc {
    let part = held.part.as_ref().map(|part| PartDoc { piece: part.piece, first: part.first });
    HeldDoc { list: held.list, part, reading: held.reading }
}

pub(super) fn seq_doc(seq: &Seq) -> SeqDoc {
    SeqDoc { index: seq.index, visits: seq.visits.clone().into_iter().collect() }
}

pub(super) fn timeout_doc(timeout: Timeout) -> TimeoutDoc {
    TimeoutDoc { timer: timeout.timer, after: timeout.after }
}

fn stage_doc(stage: &GuardStage) -> StageDoc {
    match stage {
        GuardStage::Next => StageDoc::Next,
        GuardStage::Body { seq, limit } => {
            StageDoc::Body { seq: seq_doc(seq), limit: limit.map(timeout_doc) }
        }
        GuardStage::Matching { seq, fault } => {
            StageDoc::Matching { seq: seq_doc(seq), fault: fault.clone() }
        }
        GuardStage::Delaying { timer, until } => {
            StageDoc::Delaying { timer: *timer, until: *until }
        }
        GuardStage::Catching { seq } => StageDoc::Catching { seq: seq_doc(seq) },
    }
}

fn listening_doc(listening: &Listening, values: &mut Values) -> ListeningDoc {
    let progress = &listening.progress;
    ListeningDoc {
        listener: listening.listener,
        emitted: listening.emitted,
        after: listening.after,
        met: progress.met.iter().copied().collect(),
        until: progress.until.iter().copied().collect(),
        keys: variable_docs(&progress.keys, values),
        expected: progress
            .expected
            .iter()
            .map(|value| value.as_ref().map(|value| values.put(value)))
            .collect(),
        outputs: values.put(&Value::Arr(listening.outputs.clone())),
        consumed: listening.consumed,
        bytes: listening.bytes,
        stage: listen_stage_doc(&listening.stage, values),
    }
}

fn listen_stage_doc(stage: &ListenStage, values: &mut Values) -> ListenStageDoc {
    match stage {
        ListenStage::Listening => ListenStageDoc::Listening,
        ListenStage::Taken { item } => ListenStageDoc::Taken { item: values.put(item) },
        ListenStage::Iterating { item, seq } => {
            ListenStageDoc::Iterating { item: values.put(item), seq: seq_doc(seq) }
        }
        ListenStage::Shaping { item, raw } => {
            ListenStageDoc::Shaping { item: values.put(item), raw: values.put(raw) }
        }
        ListenStage::Exporting { item, output } => {
            ListenStageDoc::Exporting { item: values.put(item), output: values.put(output) }
        }
        ListenStage::Checking => ListenStageDoc::Checking,
    }
}

impl Taken<'_> {
    pub(super) fn body(&self, doc: BodyDoc) -> Back<Body> {
        Ok(match doc {
            BodyDoc::Begin => Body::Begin,
            BodyDoc::Sequence(doc) => Body::Sequence(seq(doc)),
            BodyDoc::For { items, held, index, data, seq: at } => {
                let items = self.items(items, held)?;
                Body::For(Loop { items, index, data: self.value(data)?, seq: at.map(seq) })
            }
            BodyDoc::Try(doc) => Body::Try(Guard {
                attempt: doc.attempt,
                started_at: doc.started_at,
                stage: stage(doc.stage),
                definite: Counts {
                    floor: doc.floor,
                    answered: doc.definite.into_iter().collect(),
                    asked: doc.asked.into_iter().collect(),
                },
            }),
            BodyDoc::Fork { outputs } => {
                let outputs: Back<Vec<_>> = outputs
                    .into_iter()
                    .map(|one| one.map(|one| self.value(one)).transpose())
                    .collect();
                Body::Fork(Branches { outputs: outputs? })
            }
            BodyDoc::Wait { timer, until } => Body::Wait { timer, until },
            BodyDoc::Effect { effect, key, action } => {
                Body::Effect { effect, key, action: Arc::new(self.action(action)?) }
            }
            BodyDoc::Listen(doc) => Body::Listen(Box::new(self.listening(doc)?)),
        })
    }

    fn items(&self, items: Option<ValueRef>, held: Option<HeldDoc>) -> Back<Items> {
        match (items, held) {
            (_, Some(HeldDoc { list, part, reading })) => {
                let part = part.map(|PartDoc { piece, first }| {
                    let items = self.blobs.piece(piece);
                    let items = items.ok_or(FormatError::BlobMissing(piece.blob))?;
                    Ok::<_, SnapshotError>(Part { piece, first, items })
                });
                Ok(Items::Held(Held { list, part: part.transpose()?, reading }))
            }
            (Some(items), None) => match self.value(items)? {
                Value::Arr(items) => Ok(Items::Values(items)),
                _ => Err(SnapshotError::Revision("a loop's items are no array")),
            },
            (None, None) => Err(SnapshotError::Revision("a loop has no items")),
        }
    }

    fn listening(&self, doc: ListeningDoc) -> Back<Listening> {
        let Value::Arr(outputs) = self.value(doc.outputs)? else {
            return Err(SnapshotError::Revision("a listener's output is no array"));
        };
        let expected: Back<Vec<_>> = doc
            .expected
            .into_iter()
            .map(|value| value.map(|value| self.value(value)).transpose())
            .collect();
        Ok(Listening {
            listener: doc.listener,
            emitted: doc.emitted,
            after: doc.after,
            progress: Progress {
                met: doc.met.into_iter().collect(),
                until: doc.until.into_iter().collect(),
                keys: self.named(doc.keys)?,
                expected: expected?,
            },
            outputs,
            consumed: doc.consumed,
            bytes: doc.bytes,
            stage: self.listen_stage(doc.stage)?,
        })
    }

    fn listen_stage(&self, doc: ListenStageDoc) -> Back<ListenStage> {
        Ok(match doc {
            ListenStageDoc::Listening => ListenStage::Listening,
            ListenStageDoc::Taken { item } => ListenStage::Taken { item: self.value(item)? },
            ListenStageDoc::Iterating { item, seq: at } => {
                ListenStage::Iterating { item: self.value(item)?, seq: seq(at) }
            }
            ListenStageDoc::Shaping { item, raw } => {
                ListenStage::Shaping { item: self.value(item)?, raw: self.value(raw)? }
            }
            ListenStageDoc::Exporting { item, output } => {
                ListenStage::Exporting { item: self.value(item)?, output: self.value(output)? }
            }
            ListenStageDoc::Checking => ListenStage::Checking,
        })
    }
}

pub(super) fn seq(doc: SeqDoc) -> Seq {
    Seq { index: doc.index, visits: doc.visits.into_iter().collect() }
}

pub(super) fn timeout(doc: TimeoutDoc) -> Timeout {
    Timeout { timer: doc.timer, after: doc.after }
}

fn stage(doc: StageDoc) -> GuardStage {
    match doc {
        StageDoc::Next => GuardStage::Next,
        StageDoc::Body { seq: at, limit } => {
            GuardStage::Body { seq: seq(at), limit: limit.map(timeout) }
        }
        StageDoc::Matching { seq: at, fault } => GuardStage::Matching { seq: seq(at), fault },
        StageDoc::Delaying { timer, until } => GuardStage::Delaying { timer, until },
        StageDoc::Catching { seq: at } => GuardStage::Catching { seq: seq(at) },
    }
}
