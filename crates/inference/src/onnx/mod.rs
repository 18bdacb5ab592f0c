//! ONNX: reads a file and answers with it, in plain Rust and one thread.
//!
//! A graph becomes a list of steps over numbered places. What it may hold is a closed list of
//! operators: those of scikit-learn's models and of networks of dense layers. A file with another
//! one is refused when it is loaded, with that operator's name.

mod format;
mod operator;
mod protobuf;

use std::collections::HashMap;

use crate::model::{InferError, LIVE_BYTES_MAX, LoadError, Metadata, Model, Stop};
use crate::tensor::{Array, Tensor};
use format::Graph;
use operator::{Fault, Follows, Inputs, Refusal, Run};

/// Versions of the operators that are known, and what to write when exporting to be among them.
const STANDARD_VERSIONS: std::ops::RangeInclusive<i64> = 7..=26;
const LEARNED_VERSIONS: std::ops::RangeInclusive<i64> = 1..=4;

/// A model in memory.
pub struct Onnx {
    metadata: Metadata,
    /// Places of the inputs, in the order of the metadata.
    inputs: Vec<usize>,
    outputs: Vec<usize>,
    constants: Vec<Option<Array>>,
    steps: Vec<Step>,
    /// Whether callers choose how many rows there are, and nothing else of a shape.
    is_of_rows: bool,
    memory_bytes: usize,
}

struct Step {
    run: Run,
    /// For messages.
    node: usize,
    operator: String,
    inputs: Vec<Option<usize>>,
    outputs: Vec<Option<usize>>,
    /// Places that nobody reads after this step.
    done: Vec<usize>,
}

impl std::fmt::Debug for Onnx {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Onnx").field("metadata", &self.metadata).finish_non_exhaustive()
    }
}

impl Onnx {
    /// Reads a file. Nothing in it makes this panic or hang; memory is bounded by its size and by
    /// the limits in `format`.
    pub fn load(file: &[u8]) -> Result<Self, LoadError> {
        crate::foreign::refuse(file)?;
        let model = format::Model::read(file)?;
        let versions = versions(&model)?;
        let mut plan = Plan::default();
        let (mut metadata, inputs) = plan.begin(&model.graph);
        metadata.opsets = model.opsets.iter().map(opset).collect();
        let mut steps = Vec::with_capacity(model.graph.nodes.len());
        for (number, node) in model.graph.nodes.iter().enumerate() {
            steps.push(plan.step(number, node, versions)?);
        }
        let outputs = metadata.outputs.iter().map(|info| {
            let place = plan.names.get(info.name.as_str()).copied();
            place.ok_or_else(|| LoadError::Output { name: info.name.clone() })
        });
        let outputs: Vec<usize> = outputs.collect::<Result<_, _>>()?;
        let places = plan.places;
        // The constants have the first places.
        let mut constants: Vec<_> =
            model.graph.constants.into_iter().map(|it| Some(it.1)).collect();
        constants.resize_with(places, || None);
        note_last_reads(&mut steps, &outputs);
        let numbers: usize = constants.iter().flatten().map(Array::bytes).sum();
        // What operators keep of their attributes is not measured; it came out of the file.
        let memory_bytes = numbers + file.len();
        let is_of_rows = metadata.inputs.iter().all(|it| match &*it.shape {
            [_, columns @ ..] => !columns.is_empty() && columns.iter().all(Option::is_some),
            [] => false,
        });
        Ok(Self { metadata, inputs, outputs, constants, steps, is_of_rows, memory_bytes })
    }
}

impl Onnx {
    fn error(&self, step: &Step, fault: Fault) -> InferError {
        let of_the_model = match fault.from {
            Follows::File => true,
            Follows::Columns => self.is_of_rows,
            Follows::Call => false,
        };
        let (node, operator) = (step.node, step.operator.clone());
        InferError::Node { node, operator, what: fault.what.into_owned(), of_the_model }
    }
}

impl Model for Onnx {
    fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    fn memory_bytes(&self) -> usize {
        self.memory_bytes
    }

    fn infer(&self, inputs: Vec<Tensor>, stop: &Stop) -> Result<Vec<Tensor>, InferError> {
        let given = self.metadata.accept(inputs)?;
        let mut values: Vec<Option<Array>> = Vec::new();
        values.resize_with(self.constants.len(), || None);
        for (tensor, &place) in given.into_iter().zip(&self.inputs) {
            values[place] = Some(tensor.values);
        }
        let mut live = 0;
        for step in &self.steps {
            stop.check()?;
            let made = step.take(&self.constants, &mut values);
            live += made.map_err(|fault| self.error(step, fault))?;
            if live > LIVE_BYTES_MAX {
                return Err(InferError::Memory);
            }
            for &place in &step.done {
                live -= values[place].take().map_or(0, |it| it.bytes()).min(live);
            }
        }
        let outputs = self.metadata.outputs.iter().zip(&self.outputs).map(|(info, &place)| {
            let values = values[place].clone().or_else(|| self.constants[place].clone());
            values
                .map(|values| Tensor { name: info.name.clone(), values })
                .ok_or_else(|| InferError::Missing { name: info.name.clone() })
        });
        outputs.collect()
    }
}

impl Step {
    /// Gives how many bytes are new.
    fn take(
        &self,
        constants: &[Option<Array>],
        values: &mut [Option<Array>],
    ) -> Result<usize, Fault> {
        let read = |place: usize| values[place].as_ref().or(constants[place].as_ref());
        let inputs: Vec<Option<&Array>> =
            self.inputs.iter().map(|place| place.and_then(read)).collect();
        let made = (self.run)(&Inputs(&inputs))?;
        if made.len() < self.outputs.len() {
            return Err(Fault::of_the_model("it has more outputs than are supported"));
        }
        let mut bytes = 0;
        for (array, place) in made.into_iter().zip(&self.outputs) {
            if let Some(place) = place {
                bytes += array.bytes();
                values[*place] = Some(array);
            }
        }
        Ok(bytes)
    }
}

#[derive(Debug, Clone, Copy)]
struct Versions {
    standard: i64,
    learned: i64,
}

/// The standard's own operators have no name in files.
fn opset((domain, version): &(&str, i64)) -> (String, i64) {
    let domain = if domain.is_empty() { "ai.onnx" } else { domain };
    (domain.to_owned(), *version)
}

fn versions(model: &format::Model<'_>) -> Result<Versions, LoadError> {
    let mut versions = Versions { standard: 0, learned: 0 };
    for &(domain, version) in &model.opsets {
        let (known, hint, place) = match domain {
            "" | "ai.onnx" => (STANDARD_VERSIONS, "opset 7 to 26", &mut versions.standard),
            "ai.onnx.ml" => (LEARNED_VERSIONS, "ai.onnx.ml 1 to 4", &mut versions.learned),
            // Its operators are refused where they are used.
            _ => continue,
        };
        if !known.contains(&version) {
            let domain = if domain.is_empty() { "ai.onnx" } else { domain }.to_owned();
            return Err(LoadError::Opset { domain, version, hint });
        }
        *place = version;
    }
    Ok(versions)
}

/// Names of values on their way to numbers.
#[derive(Default)]
struct Plan<'f> {
    names: HashMap<&'f str, usize>,
    places: usize,
}

impl<'f> Plan<'f> {
    fn place(&mut self, name: &'f str) -> usize {
        // A name that is given again is another value from then on.
        self.names.insert(name, self.places);
        self.places += 1;
        self.places - 1
    }

    fn begin(&mut self, graph: &'f Graph<'_>) -> (Metadata, Vec<usize>) {
        for (name, _) in &graph.constants {
            self.place(name);
        }
        let (mut infos, mut places) = (Vec::new(), Vec::new());
        for info in &graph.inputs {
            // Old files list their constants among the inputs, too.
            if !self.names.contains_key(info.name.as_str()) {
                places.push(self.place(&info.name));
                infos.push(info.clone());
            }
        }
        let outputs = graph.outputs.clone();
        (Metadata { inputs: infos, outputs, ..Metadata::default() }, places)
    }

    fn step(
        &mut self,
        number: usize,
        node: &format::Node<'f>,
        versions: Versions,
    ) -> Result<Step, LoadError> {
        let version = match node.domain {
            "ai.onnx.ml" => versions.learned,
            _ => versions.standard,
        };
        let operator = node.operator.to_owned();
        let fault =
            |what: String| LoadError::Node { node: number, operator: operator.clone(), what };
        let run = match operator::build(node, version) {
            Ok(run) => run,
            Err(Refusal::Unknown) => {
                let operator = match node.domain {
                    "" => operator,
                    domain => format!("{domain}.{operator}"),
                };
                return Err(LoadError::Operator { operator });
            }
            Err(Refusal::Fault(wrong)) => return Err(fault(wrong.what.into_owned())),
        };
        let read = |name: &&str| match self.names.get(name) {
            _ if name.is_empty() => Ok(None),
            Some(&place) => Ok(Some(place)),
            None => Err(fault(format!("nothing before it makes `{name}`"))),
        };
        let inputs = node.inputs.iter().map(read).collect::<Result<_, _>>()?;
        let write = |name: &&'f str| (!name.is_empty()).then(|| self.place(name));
        let outputs = node.outputs.iter().map(write).collect();
        Ok(Step { run, node: number, operator, inputs, outputs, done: Vec::new() })
    }
}

fn note_last_reads(steps: &mut [Step], outputs: &[usize]) {
    let mut seen: std::collections::HashSet<usize> = outputs.iter().copied().collect();
    for step in steps.iter_mut().rev() {
        let touched = step.inputs.iter().chain(&step.outputs).flatten();
        step.done = touched.copied().filter(|place| seen.insert(*place)).collect();
    }
}
