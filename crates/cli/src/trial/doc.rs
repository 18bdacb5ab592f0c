//! A test file as its author writes it. What its parts mean is read in `file`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};
use serde_saphyr::Spanned;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileDoc {
    pub workflow: Option<PathBuf>,
    pub at: Option<String>,
    #[serde(default)]
    pub resources: BTreeMap<String, Spanned<PathBuf>>,
    #[serde(default)]
    pub stubs: Vec<Spanned<StubDoc>>,
    pub cases: Vec<Spanned<CaseDoc>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CaseDoc {
    pub name: String,
    #[serde(default, deserialize_with = "present")]
    pub input: Option<Value>,
    pub at: Option<String>,
    #[serde(default)]
    pub resources: BTreeMap<String, Spanned<PathBuf>>,
    /// Their attributes stand beside `when` and `after`, so they are taken apart by `event`.
    #[serde(default)]
    pub events: Vec<Spanned<Value>>,
    #[serde(default)]
    pub stubs: Vec<Spanned<StubDoc>>,
    #[serde(default)]
    pub expect: ExpectDoc,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StubDoc {
    pub task: Option<String>,
    pub location: Option<String>,
    pub call: Option<String>,
    #[serde(default, deserialize_with = "present")]
    pub with: Option<Value>,
    #[serde(default, deserialize_with = "present")]
    pub output: Option<Value>,
    pub error: Option<ErrorDoc>,
    #[serde(default)]
    pub never: bool,
    pub after: Option<Value>,
    pub answers: Option<Vec<AnswerDoc>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AnswerDoc {
    #[serde(default, deserialize_with = "present")]
    pub output: Option<Value>,
    pub error: Option<ErrorDoc>,
    #[serde(default)]
    pub never: bool,
    pub after: Option<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ErrorDoc {
    #[serde(rename = "type")]
    pub kind: Option<String>,
    pub status: Option<u16>,
    pub title: Option<String>,
    pub detail: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub struct ExpectDoc {
    pub state: Option<String>,
    #[serde(default, deserialize_with = "present")]
    pub output: Option<Value>,
    #[serde(default, deserialize_with = "present")]
    pub includes: Option<Value>,
    pub error: Option<ExpectErrorDoc>,
    pub order: Option<Vec<String>>,
    #[serde(default)]
    pub never: Vec<String>,
    #[serde(default)]
    pub calls: Vec<Spanned<CallDoc>>,
    pub events: Option<Vec<Map<String, Value>>>,
    pub runs: Option<usize>,
    pub takes: Option<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExpectErrorDoc {
    #[serde(rename = "type")]
    pub kind: Option<String>,
    pub status: Option<u16>,
    pub title: Option<String>,
    pub detail: Option<String>,
    pub instance: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CallDoc {
    pub task: Option<String>,
    pub location: Option<String>,
    pub call: Option<String>,
    #[serde(default, deserialize_with = "present")]
    pub with: Option<Value>,
    pub times: Option<usize>,
}

/// `null` that was written is a value, and not the same as nothing.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}
