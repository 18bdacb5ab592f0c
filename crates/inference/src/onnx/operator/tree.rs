//! Ensembles of decision trees: random forests and gradient boosting.

use std::collections::{HashMap, HashSet};

use super::classic::{Labels, Transform, winner};
use super::pointwise::logistic;
use super::{Fault, Refusal, Run, made, misfit, room};
use crate::onnx::format::Node as GraphNode;

/// Rows that go down one tree after another, while their features stay in the cache.
const ROWS_AT_ONCE: usize = 64;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Test {
    AtMost,
    Below,
    AtLeast,
    Above,
    Equal,
    Other,
    Leaf,
}

impl Test {
    fn of(mode: &[u8]) -> Result<Self, Fault> {
        Ok(match mode {
            b"BRANCH_LEQ" => Self::AtMost,
            b"BRANCH_LT" => Self::Below,
            b"BRANCH_GTE" => Self::AtLeast,
            b"BRANCH_GT" => Self::Above,
            b"BRANCH_EQ" => Self::Equal,
            b"BRANCH_NEQ" => Self::Other,
            b"LEAF" => Self::Leaf,
            _ => return Err("a tree has a node of an unknown kind".into()),
        })
    }
}

/// A node; its `yes` is the next one in memory. A leaf's `no` is the first of its weights, and its
/// `feature` their number.
#[derive(Debug, Clone, Copy)]
struct Node {
    value: f32,
    feature: u32,
    no: u32,
    test: Test,
    /// Where values go that are missing.
    missing_is_yes: bool,
}

impl Node {
    fn is_yes(&self, value: f32) -> bool {
        (match self.test {
            Test::AtMost => value <= self.value,
            Test::Below => value < self.value,
            Test::AtLeast => value >= self.value,
            Test::Above => value > self.value,
            Test::Equal => value == self.value,
            Test::Other => value != self.value,
            Test::Leaf => false,
        }) || (self.missing_is_yes && value.is_nan())
    }
}

/// What leaves add to: a class or a target, and how much.
#[derive(Debug, Clone, Copy)]
struct Weight {
    target: u32,
    value: f32,
}

#[derive(Debug)]
struct Forest {
    nodes: Vec<Node>,
    roots: Vec<u32>,
    weights: Vec<Weight>,
    targets: usize,
    features: usize,
}

/// The lists of a node of the graph that describe its trees, one element for each tree node.
struct Lists<'n> {
    trees: &'n [i64],
    ids: &'n [i64],
    features: &'n [i64],
    values: &'n [f32],
    modes: &'n [&'n [u8]],
    yes: &'n [i64],
    no: &'n [i64],
    missing: &'n [i64],
}

impl<'n> Lists<'n> {
    fn of(node: &'n GraphNode<'_>) -> Result<Self, Fault> {
        // How often each node was reached in training.
        node.without_effect(&["nodes_hitrates", "nodes_hitrates_as_tensor"]);
        let lists = Self {
            trees: node.ints("nodes_treeids")?,
            ids: node.ints("nodes_nodeids")?,
            features: node.ints("nodes_featureids")?,
            values: node.floats("nodes_values")?,
            modes: node.texts("nodes_modes")?,
            yes: node.ints("nodes_truenodeids")?,
            no: node.ints("nodes_falsenodeids")?,
            missing: node.ints("nodes_missing_value_tracks_true")?,
        };
        let n = lists.trees.len();
        let lengths = [
            lists.ids.len(),
            lists.features.len(),
            lists.values.len(),
            lists.modes.len(),
            lists.yes.len(),
            lists.no.len(),
        ];
        if n == 0
            || lengths.iter().any(|it| *it != n)
            || !matches!(lists.missing.len(), 0) && lists.missing.len() != n
        {
            return Err("the lists of its trees do not fit each other".into());
        }
        Ok(lists)
    }
}

/// The weights of each leaf, by tree and node.
fn leaves(
    node: &GraphNode<'_>,
    kind: &str,
    targets: usize,
) -> Result<HashMap<(i64, i64), Vec<Weight>>, Fault> {
    let ints = |what: &str| node.ints(&format!("{kind}_{what}"));
    let (trees, ids, into) = (ints("treeids")?, ints("nodeids")?, ints("ids")?);
    let weights = node.floats(&format!("{kind}_weights"))?;
    if [ids.len(), into.len(), weights.len()].iter().any(|it| *it != trees.len()) {
        return Err("the lists of its leaves do not fit each other".into());
    }
    let mut leaves: HashMap<_, Vec<Weight>> = HashMap::new();
    let mut known = HashSet::with_capacity(weights.len());
    for (place, &value) in weights.iter().enumerate() {
        // Some take the last of them, others the sum.
        if !known.insert((trees[place], ids[place], into[place])) {
            return Err("a leaf has two weights for one target, and no one says which holds".into());
        }
        let target = u32::try_from(into[place]).ok().filter(|it| (*it as usize) < targets);
        let target = target.ok_or("a leaf has a class that there is not")?;
        leaves.entry((trees[place], ids[place])).or_default().push(Weight { target, value });
    }
    Ok(leaves)
}

impl Forest {
    /// Lays every tree out anew, from its root, `yes` first. A node that is reached twice is
    /// refused, so every way through a tree ends.
    fn of(node: &GraphNode<'_>, kind: &str, targets: usize) -> Result<Self, Fault> {
        let lists = Lists::of(node)?;
        let mut leaves = leaves(node, kind, targets)?;
        let mut places = HashMap::with_capacity(lists.ids.len());
        let mut roots = Vec::new();
        for (place, key) in lists.trees.iter().zip(lists.ids).enumerate() {
            // The root of a tree is the first of its nodes.
            if place == 0 || lists.trees[place - 1] != *key.0 {
                roots.push(place);
            }
            if places.insert((*key.0, *key.1), place).is_some() {
                return Err("a tree has two nodes of one number".into());
            }
        }
        let mut forest = Self {
            nodes: Vec::new(),
            roots: Vec::new(),
            weights: Vec::new(),
            targets,
            features: 0,
        };
        for root in roots {
            forest.grow(&lists, &places, &mut leaves, root)?;
        }
        Ok(forest)
    }

    fn grow(
        &mut self,
        lists: &Lists<'_>,
        places: &HashMap<(i64, i64), usize>,
        leaves: &mut HashMap<(i64, i64), Vec<Weight>>,
        root: usize,
    ) -> Result<(), Fault> {
        self.roots.push(self.nodes.len() as u32);
        // Nodes to be laid out, each with the one whose `no` it is.
        let mut open: Vec<(usize, Option<usize>)> = vec![(root, None)];
        while let Some((place, parent)) = open.pop() {
            if self.nodes.len() == lists.ids.len() {
                return Err("a tree goes in a circle".into());
            }
            let here = self.nodes.len();
            if let Some(parent) = parent {
                self.nodes[parent].no = here as u32;
            }
            let tree = lists.trees[place];
            let mut node = Node {
                value: lists.values[place],
                feature: 0,
                no: 0,
                test: Test::of(lists.modes[place])?,
                missing_is_yes: lists.missing.get(place).is_some_and(|it| *it != 0),
            };
            if node.test == Test::Leaf {
                let weights = leaves.remove(&(tree, lists.ids[place])).unwrap_or_default();
                node.no = self.weights.len() as u32;
                node.feature = weights.len() as u32;
                self.weights.extend(weights);
            } else {
                let child = |id: i64| places.get(&(tree, id)).copied();
                let (yes, no) = (child(lists.yes[place]), child(lists.no[place]));
                let (Some(yes), Some(no)) = (yes, no) else {
                    return Err("a tree has a branch to nowhere".into());
                };
                let feature = u32::try_from(lists.features[place]);
                node.feature =
                    feature.map_err(|_| "a tree asks for a feature that there is not")?;
                self.features = self.features.max(node.feature as usize + 1);
                open.push((no, Some(here)));
                open.push((yes, None));
            }
            self.nodes.push(node);
        }
        Ok(())
    }

    fn leaf(&self, root: u32, row: &[f32]) -> &[Weight] {
        let mut place = root as usize;
        loop {
            let node = &self.nodes[place];
            if node.test == Test::Leaf {
                return &self.weights[node.no as usize..][..node.feature as usize];
            }
            let yes = node.is_yes(row[node.feature as usize]);
            place = if yes { place + 1 } else { node.no as usize };
        }
    }

    /// For each row what its leaves add up to, target by target. In double width: a hundred small
    /// floats lose what one can see.
    fn sums(&self, values: &[f32], columns: usize) -> Result<Vec<f64>, Fault> {
        if columns < self.features {
            return Err(misfit(self.features, columns));
        }
        let columns = columns.max(1);
        let mut sums = vec![0.0; room(&[values.len() / columns, self.targets])?];
        let blocks = values.chunks(ROWS_AT_ONCE * columns);
        for (block, sums) in blocks.zip(sums.chunks_mut(ROWS_AT_ONCE * self.targets)) {
            for &root in &self.roots {
                let rows = block.chunks_exact(columns).zip(sums.chunks_exact_mut(self.targets));
                for (row, sums) in rows {
                    for weight in self.leaf(root, row) {
                        sums[weight.target as usize] += f64::from(weight.value);
                    }
                }
            }
        }
        Ok(sums)
    }
}

/// How a classifier with two classes, whose leaves only speak of one, makes scores of its one sum.
#[derive(Debug, Clone, Copy)]
enum OneSum {
    /// Probabilities of the second class.
    Share,
    /// Any number; positive is the second class.
    Margin,
}

pub(super) fn classifier(node: &GraphNode<'_>) -> Result<Run, Refusal> {
    let labels = Labels::of(node, "classlabels_strings", "classlabels_int64s")?;
    let classes = labels.len();
    let transform = Transform::of(node)?;
    let forest = Forest::of(node, "class", classes)?;
    let base = node.floats("base_values")?.to_vec();
    let first = forest.weights.first().map_or(0, |it| it.target);
    let one_sum = if classes == 2 && forest.weights.iter().all(|it| it.target == first) {
        let share = forest.weights.iter().all(|it| it.value >= 0.0);
        Some(if share { OneSum::Share } else { OneSum::Margin })
    } else {
        None
    };
    if !(base.is_empty() || base.len() == classes || one_sum.is_some() && base.len() == 1) {
        return Err("its base values do not fit its classes".into());
    }
    let base_of_one = base.last().copied().unwrap_or(0.0);
    Ok(Box::new(move |inputs| {
        let input = inputs.need(0)?;
        let (rows, columns) = input.rows()?;
        let sums = forest.sums(&input.floats()?, columns)?;
        let mut scores = vec![0.0; room(&[rows, classes])?];
        let mut winners = Vec::with_capacity(rows);
        for (row, sums) in scores.chunks_exact_mut(classes).zip(sums.chunks_exact(classes)) {
            winners.push(match one_sum {
                Some(kind) => {
                    let sum = (sums[first as usize] + f64::from(base_of_one)) as f32;
                    score_one(row, sum, kind, transform)
                }
                None => {
                    let bases = base.iter().copied().chain(std::iter::repeat(0.0));
                    for ((score, sum), base) in row.iter_mut().zip(sums).zip(bases) {
                        *score = (sum + f64::from(base)) as f32;
                    }
                    let best = winner(row);
                    transform.apply(row);
                    best
                }
            });
        }
        Ok(vec![labels.of_rows(&winners)?, made(vec![rows, classes], scores)?])
    }))
}

fn score_one(row: &mut [f32], sum: f32, kind: OneSum, transform: Transform) -> usize {
    let (scores, bound) = match (kind, transform) {
        // Leaves that are never negative, as those of one tree may be, are no shares for that.
        (_, Transform::Logistic) => ([logistic(-sum), logistic(sum)], 0.0),
        (OneSum::Share, _) => ([1.0 - sum, sum], 0.5),
        (OneSum::Margin, _) => ([-sum, sum], 0.0),
    };
    row.copy_from_slice(&scores);
    usize::from(sum > bound)
}

pub(super) fn regressor(node: &GraphNode<'_>) -> Result<Run, Refusal> {
    let targets = usize::try_from(node.int("n_targets", 1)?).ok().filter(|it| *it > 0);
    let targets = targets.ok_or("it has no targets")?;
    let transform = Transform::of(node)?;
    let forest = Forest::of(node, "target", targets)?;
    let base = node.floats("base_values")?.to_vec();
    if !base.is_empty() && base.len() != targets {
        return Err("its base values do not fit its targets".into());
    }
    let by = match node.text("aggregate_function", "SUM")? {
        "SUM" => 1.0,
        "AVERAGE" => forest.roots.len() as f64,
        _ => return Err("its trees can only be summed or averaged".into()),
    };
    Ok(Box::new(move |inputs| {
        let input = inputs.need(0)?;
        let (rows, columns) = input.rows()?;
        let sums = forest.sums(&input.floats()?, columns)?;
        let base = |place: usize| base.get(place % targets).copied().map_or(0.0, f64::from);
        let scores = sums.iter().enumerate().map(|(place, sum)| (sum / by + base(place)) as f32);
        let mut scores: Vec<f32> = scores.collect();
        scores.chunks_exact_mut(targets).for_each(|row| transform.apply(row));
        Ok(vec![made(vec![rows, targets], scores)?])
    }))
}
