//! JSON Schemas of inputs and outputs, compiled once.

use std::fmt;
use std::sync::Arc;

use base::Value;

/// The JSON Schema of the workflow language, for editors. The reader says more than it can.
pub const WORKFLOW: &str = include_str!("../schema/workflow.json");

/// A compiled schema. Checking names places, never values.
#[derive(Clone)]
pub struct Schema {
    validator: Arc<jsonschema::Validator>,
}

impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Schema")
    }
}

impl Schema {
    /// Compiles a schema that refers to nothing outside itself.
    pub fn compile(schema: &Value) -> Result<Self, String> {
        let schema = base::value::to_serde(schema);
        let validator = jsonschema::validator_for(&schema)
            .map_err(|error| format!("{}: {error}", place(error.instance_path().as_str())))?;
        Ok(Self { validator: Arc::new(validator) })
    }

    /// Whether nothing is wrong with `value`.
    #[must_use]
    pub fn admits(&self, value: &Value) -> bool {
        self.validator.is_valid(&base::value::to_serde(value))
    }

    /// All that is wrong with `value`, in one line; the values themselves are masked.
    pub fn check(&self, value: &Value) -> Result<(), String> {
        let value = base::value::to_serde(value);
        if self.validator.is_valid(&value) {
            return Ok(());
        }
        let wrong: Vec<String> = self
            .validator
            .iter_errors(&value)
            .take(WRONG_MAX)
            .map(|error| format!("{}: {}", place(error.instance_path().as_str()), error.masked()))
            .collect();
        Err(wrong.join("; "))
    }
}

/// Complaints named in one message; more would hide the first.
const WRONG_MAX: usize = 8;

fn place(pointer: &str) -> &str {
    if pointer.is_empty() { "/" } else { pointer }
}
