//! The tree over the leaves of an edition, in the shape of RFC 6962: whoever has a leaf and its path sees
//! that it belongs to the root, and learns nothing of the others.

use base::Digest;

/// Before the bytes of a leaf, and before two neighbours: neither can pass for the other.
const LEAF: &[u8] = &[0];
const NODE: &[u8] = &[1];

/// All levels, the leaves first.
#[derive(Debug, Clone, Default)]
pub struct Tree(Vec<Vec<Digest>>);

impl Tree {
    #[must_use]
    pub fn of(leaves: impl IntoIterator<Item = Vec<u8>>) -> Self {
        let mut levels = vec![leaves.into_iter().map(|leaf| leaf_of(&leaf)).collect::<Vec<_>>()];
        while levels[levels.len() - 1].len() > 1 {
            let below = &levels[levels.len() - 1];
            // One without a neighbour goes up as it is.
            let above = below.chunks(2).map(|pair| match pair {
                [left, right] => node_of(left, right),
                _ => pair[0],
            });
            let above = above.collect();
            levels.push(above);
        }
        Self(levels)
    }

    /// Of no leaves, the digest of nothing.
    #[must_use]
    pub fn root(&self) -> Digest {
        self.0.last().and_then(|top| top.first()).copied().unwrap_or_else(|| Digest::of(&[]))
    }

    /// From the leaf's neighbour up.
    #[must_use]
    pub fn path(&self, index: usize) -> Vec<Digest> {
        let levels = self.0.iter().enumerate();
        levels.filter_map(|(n, level)| level.get((index >> n) ^ 1)).copied().collect()
    }
}

/// Whether this leaf stands at this place among that many.
#[must_use]
pub fn is_in(root: Digest, leaves: u64, leaf: &[u8], index: u64, path: &[Digest]) -> bool {
    if index >= leaves {
        return false;
    }
    let (mut at, mut last, mut digest) = (index, leaves - 1, leaf_of(leaf));
    let mut path = path.iter();
    while last > 0 {
        if at % 2 == 1 {
            let Some(left) = path.next() else { return false };
            digest = node_of(left, &digest);
        } else if at < last {
            let Some(right) = path.next() else { return false };
            digest = node_of(&digest, right);
        }
        (at, last) = (at / 2, last / 2);
    }
    path.next().is_none() && digest == root
}

fn leaf_of(bytes: &[u8]) -> Digest {
    Digest::of(&[LEAF, bytes].concat())
}

fn node_of(left: &Digest, right: &Digest) -> Digest {
    Digest::of(&[NODE, left.as_bytes(), right.as_bytes()].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaves(count: usize) -> Vec<Vec<u8>> {
        (0..count).map(|n| format!("leaf {n}").into_bytes()).collect()
    }

    /// Mutation: take another leaf, place or count, a path that is too long, or a node for a leaf.
    #[test]
    fn a_leaf_is_in_its_tree_at_its_place_alone() {
        for count in 1..=17 {
            let (leaves, tree) = (leaves(count), Tree::of(leaves(count)));
            let size = count as u64;
            for (n, leaf) in leaves.iter().enumerate() {
                let (path, index) = (tree.path(n), n as u64);
                assert!(is_in(tree.root(), size, leaf, index, &path), "{n} of {count}");
                assert!(!is_in(tree.root(), size, b"another", index, &path));
                assert!(!is_in(tree.root(), size, leaf, index + size, &path));
                let longer = [path.clone(), vec![tree.root()]].concat();
                assert!(!is_in(tree.root(), size, leaf, index, &longer));
                for other in (0..size).filter(|other| *other != index) {
                    assert!(!is_in(tree.root(), size, leaf, other, &path), "{n} at {other}");
                }
            }
        }
        let tree = Tree::of(leaves(2));
        let both = [tree.0[0][0].as_bytes().as_slice(), tree.0[0][1].as_bytes()].concat();
        assert!(!is_in(tree.root(), 1, &both, 0, &[]), "two leaves are no leaf");
        assert_ne!(Tree::of(leaves(3)).root(), Tree::of(leaves(4)).root());
    }
}
