//! `emit`: an event that is part of the commit that records it.

use base::value::{object, to_json};
use base::{ErrorType, Fault};
use spec::tree::Emit;

use super::Machine;
use super::advance::Next;
use super::body::to_output;
use super::evaluate::Halt;
use super::node::Node;
use crate::event::{Defaults, Event, emitted_id, emitted_id_scattered};
use crate::record::{Decided, NoteKind, SEMANTICS_NUMBERED_EVENTS};

/// An event that a run has emitted, to be committed with the record.
#[derive(Debug, Clone, PartialEq)]
pub struct Emitted {
    /// Its number among the events of the run, from 1.
    pub number: u64,
    pub event: Event,
}

impl Machine {
    pub(super) fn emit(&mut self, node: &mut Node, emit: &Emit) -> Result<Next, Halt> {
        let mut expressions = self.expressions(node);
        let mut fields = Vec::with_capacity(emit.attributes.len() + 1);
        for (name, value) in &emit.attributes {
            fields.push((&**name, expressions.template(value, &node.input)?));
        }
        if let Some(data) = &emit.data {
            fields.push(("data", expressions.template(data, &node.input)?));
        }
        let (run, semantics, number) =
            (self.header().run, self.header().semantics, self.emitted + 1);
        let id = || match semantics {
            ..SEMANTICS_NUMBERED_EVENTS => emitted_id_scattered(run, &node.activation),
            _ => emitted_id(run, number),
        };
        let defaults = Defaults { id: &id, source: Some(&self.source()), time: self.now };
        let event = Event::sent(&object(fields), &defaults).map_err(|wrong| {
            Fault::new(ErrorType::Validation, format!("the event cannot be emitted: {wrong}"))
        })?;
        self.emitted = number;
        self.traced("emit", node.activation.as_str());
        self.trace.update(&to_json(event.envelope()));
        let (id, kind) = (event.id().to_owned(), event.kind().to_owned());
        self.note(node, NoteKind::Emitted { id: id.clone(), kind: kind.clone() });
        let activation = node.activation.clone();
        self.step.decided.push(Decided::Emitted { activation, id, kind });
        let output = event.envelope().clone();
        self.step.emitted.push(Emitted { number: self.emitted, event });
        Ok(to_output(node, output, None))
    }

    /// What the events of this workflow come from, unless it says otherwise.
    pub(crate) fn source(&self) -> String {
        let document = &self.workflow.document;
        format!("/{}/{}/{}", document.key.namespace, document.key.name, document.version)
    }
}
