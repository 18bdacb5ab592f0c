//! Where the nodes of a run live. Places are reused in a fixed order, so that a replay gives every
//! node the same place.

use super::node::{Node, NodeId};

#[derive(Debug, Clone, PartialEq, Default)]
pub struct Arena {
    places: Vec<Place>,
    free: Vec<u32>,
}

#[derive(Debug, Clone, PartialEq)]
enum Place {
    Free,
    /// The node is being worked on and will be put back or dropped.
    Taken,
    Node(Box<Node>),
}

impl Arena {
    /// Reserves a place; the node must be [`put`](Self::put) there.
    pub fn reserve(&mut self) -> NodeId {
        if let Some(place) = self.free.pop() {
            self.places[place as usize] = Place::Taken;
            return NodeId(place);
        }
        self.places.push(Place::Taken);
        NodeId(u32::try_from(self.places.len() - 1).expect("fewer nodes than memory has bytes"))
    }

    pub fn put(&mut self, id: NodeId, node: Box<Node>) {
        self.places[id.0 as usize] = Place::Node(node);
    }

    /// Takes the node out to work on it. `None` where it has gone meanwhile.
    pub fn take(&mut self, id: NodeId) -> Option<Box<Node>> {
        let place = self.places.get_mut(id.0 as usize)?;
        match std::mem::replace(place, Place::Taken) {
            Place::Node(node) => Some(node),
            other => {
                *place = other;
                None
            }
        }
    }

    pub fn release(&mut self, id: NodeId) {
        self.places[id.0 as usize] = Place::Free;
        self.free.push(id.0);
    }

    pub fn get(&self, id: NodeId) -> Option<&Node> {
        match self.places.get(id.0 as usize)? {
            Place::Node(node) => Some(node),
            Place::Free | Place::Taken => None,
        }
    }

    pub fn get_mut(&mut self, id: NodeId) -> Option<&mut Node> {
        match self.places.get_mut(id.0 as usize)? {
            Place::Node(node) => Some(node),
            Place::Free | Place::Taken => None,
        }
    }

    /// In the order of their places.
    pub fn iter(&self) -> impl Iterator<Item = (NodeId, &Node)> {
        self.places.iter().enumerate().filter_map(|(at, place)| match place {
            Place::Node(node) => {
                Some((NodeId(u32::try_from(at).expect("a place has a number")), &**node))
            }
            Place::Free | Place::Taken => None,
        })
    }

    #[must_use]
    pub fn ids(&self) -> Vec<NodeId> {
        self.iter().map(|(id, _)| id).collect()
    }

    /// For snapshots: every place with its node, and the order in which free ones are reused.
    #[must_use]
    pub fn parts(&self) -> (Vec<Option<&Node>>, &[u32]) {
        let nodes = (0..self.places.len())
            .map(|at| self.get(NodeId(u32::try_from(at).expect("a place has a number"))))
            .collect();
        (nodes, &self.free)
    }

    #[must_use]
    pub fn from_parts(nodes: Vec<Option<Node>>, free: Vec<u32>) -> Self {
        let place =
            |node: Option<Node>| node.map_or(Place::Free, |node| Place::Node(Box::new(node)));
        Self { places: nodes.into_iter().map(place).collect(), free }
    }
}
