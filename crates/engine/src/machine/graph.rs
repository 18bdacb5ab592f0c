//! Forks: which branches begin, and with what.
//!
//! A branch that waits for no other begins with the fork, on the fork's input. One that does begins
//! when those have completed, on an object of their outputs by name.

use std::collections::HashSet;

use base::value::object;
use spec::tree::Fork;

use super::Machine;
use super::body::Birth;
use super::evaluate::{Halt, weighed};
use super::node::{Body, Node, NodeId, Phase};

impl Machine {
    /// Begins every branch whose time has come. None does while another one has faulted: that error
    /// decides first.
    pub(super) fn fork_go_on(
        &mut self,
        id: NodeId,
        node: &mut Node,
        fork: &Fork,
    ) -> Result<(), Halt> {
        let of = |child: &NodeId| self.arena.get(*child);
        if node.children.iter().filter_map(of).any(Node::is_faulted) {
            return Ok(());
        }
        let begun: HashSet<_> =
            node.children.iter().filter_map(of).filter_map(|it| it.task).collect();
        let Phase::Body(Body::Fork(state)) = &node.phase else { return Ok(()) };
        let workflow = self.workflow.clone();
        let mut births = Vec::new();
        for (place, (branch, after)) in fork.branches.0.iter().zip(&fork.after).enumerate() {
            if state.outputs[place].is_some() || begun.contains(branch) {
                continue;
            }
            if after.is_empty() {
                births.push((*branch, node.input.clone()));
                continue;
            }
            let output = |other: &u32| {
                let output = state.outputs[*other as usize].clone()?;
                Some((&*workflow.task(fork.branches.0[*other as usize]).name, output))
            };
            if let Some(outputs) = after.iter().map(output).collect::<Option<Vec<_>>>() {
                births.push((*branch, weighed(object(outputs))?));
            }
        }
        let base = node.activation.clone();
        for (task, input) in births {
            let variables = node.variables.clone();
            self.spawn(id, node, Birth { task, visit: 1, base: &base, variables, input });
        }
        Ok(())
    }
}
