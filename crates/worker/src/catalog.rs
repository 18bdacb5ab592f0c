//! The functions that this binary brings: the runtime's `default` catalog.
//!
//! What a function does is in `functions`. Its manifest is part of it: what it takes and gives, and
//! what it may touch.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use base::name::FunctionRef;
use base::value::Json;
use base::{Digest, Value};
use serde::{Deserialize, Serialize};
use spec::schema::Schema;

use crate::functions::{Function, Granted, SHIPPED};

/// What a function says of itself, as it is written and published.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FunctionManifest {
    pub name: String,
    pub version: String,
    pub summary: String,
    /// JSON Schema of the arguments; `true` where anything goes.
    pub input: Json,
    /// JSON Schema of the result.
    pub output: Json,
    /// Arguments that leave the site in clear: no expression is taken in them, and no secret in any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fixed: Vec<String>,
    pub capabilities: Capabilities,
}

/// What a function may touch beside its arguments. Whatever is not listed, it cannot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Capabilities {
    /// Destinations on the network, as in a rule of `egress`.
    pub destinations: Vec<String>,
    /// `read`: files below the folders that the site's configuration names.
    pub files: Vec<FileAccess>,
    /// `read`: the datasets that the site's configuration declares.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub datasets: Vec<FileAccess>,
    /// Names of secrets.
    pub secrets: Vec<String>,
    /// Whether it has other sites work, by way of the hub.
    #[serde(default, skip_serializing_if = "is_not")]
    pub sites: bool,
    /// Whether it asks models, by the site's desk.
    #[serde(default, skip_serializing_if = "is_not")]
    pub models: bool,
}

/// What is not said does not stand in a manifest, nor in its digest.
#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_not(it: &bool) -> bool {
    !it
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FileAccess {
    Read,
}

/// All functions of the binary, ready to be called.
#[derive(Clone)]
pub struct Catalog {
    entries: HashMap<FunctionRef, Entry>,
}

#[derive(Clone)]
struct Entry {
    manifest: spec::Manifest,
    implementation: &'static dyn Function,
    granted: Arc<Granted>,
    /// `None` where anything goes.
    input: Option<Schema>,
}

/// A function, ready to be called.
pub(crate) struct Found<'a> {
    pub(crate) implementation: &'static dyn Function,
    pub(crate) granted: Arc<Granted>,
    /// `None` where anything goes.
    pub(crate) input: Option<&'a Schema>,
}

/// The manifests of all functions, in the order of their names.
#[must_use]
pub fn manifests() -> Vec<FunctionManifest> {
    let read = |function: &&dyn Function| parse(function.manifest());
    let by_name: BTreeMap<_, _> =
        SHIPPED.iter().map(read).map(|it| (it.name.clone(), it)).collect();
    by_name.into_values().collect()
}

impl Catalog {
    /// The functions of this binary.
    #[must_use]
    pub fn shipped() -> Self {
        Self { entries: SHIPPED.into_iter().map(entry).collect() }
    }

    pub(crate) fn find(&self, function: &FunctionRef) -> Option<Found<'_>> {
        let Entry { implementation, granted, input, .. } = self.entries.get(function)?;
        let (granted, input) = (Arc::clone(granted), input.as_ref());
        Some(Found { implementation: *implementation, granted, input })
    }
}

impl spec::Catalog for Catalog {
    fn function(&self, function: &FunctionRef) -> Option<spec::Manifest> {
        self.entries.get(function).map(|entry| entry.manifest.clone())
    }

    fn names(&self) -> Vec<FunctionRef> {
        let mut names: Vec<FunctionRef> = self.entries.keys().cloned().collect();
        names.sort();
        names
    }
}

impl fmt::Debug for Catalog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(spec::Catalog::names(self)).finish()
    }
}

impl FunctionManifest {
    /// Names the function's behaviour. Formatting and the order of keys do not count.
    #[must_use]
    pub fn digest(&self) -> Digest {
        let json = serde_json::to_value(self).expect("a manifest has JSON text");
        let mut canonical = String::new();
        write_canonical(&json, &mut canonical);
        Digest::of(canonical.as_bytes())
    }
}

fn entry(implementation: &'static dyn Function) -> (FunctionRef, Entry) {
    let manifest = parse(implementation.manifest());
    let takes_anything = manifest.input.0 == Value::Bool(true);
    let schema = |json: &Json| Schema::compile(&json.0).expect("a shipped schema compiles: tested");
    let input = (!takes_anything).then(|| schema(&manifest.input));
    let granted = Granted::parse(&manifest.capabilities).expect("shipped patterns: tested");
    let digest = manifest.digest();
    let reference = FunctionRef {
        name: manifest.name.into(),
        version: manifest.version.into(),
        catalog: spec::catalog::DEFAULT.into(),
    };
    let manifest = spec::Manifest {
        name: reference.name.clone(),
        version: reference.version.clone(),
        digest,
        input: Some(manifest.input.0),
        output: Some(manifest.output.0),
        fixed: manifest.fixed.into_iter().map(Into::into).collect(),
        summary: manifest.summary,
    };
    (reference, Entry { manifest, implementation, granted: Arc::new(granted), input })
}

fn parse(text: &str) -> FunctionManifest {
    serde_json::from_str(text).expect("a shipped manifest is one: tested")
}

/// JSON with sorted keys and without space. Manifests hold no numbers that could be spelled twice.
fn write_canonical(json: &serde_json::Value, out: &mut String) {
    match json {
        serde_json::Value::Object(map) => {
            let sorted: BTreeMap<_, _> = map.iter().collect();
            out.push('{');
            for (at, (key, value)) in sorted.into_iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                out.push_str(&serde_json::Value::from(key.as_str()).to_string());
                out.push(':');
                write_canonical(value, out);
            }
            out.push('}');
        }
        serde_json::Value::Array(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                write_canonical(item, out);
            }
            out.push(']');
        }
        plain => out.push_str(&plain.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use spec::Catalog as _;

    use super::*;
    use crate::functions::echo;

    /// Mutation: break a shipped manifest or a schema in it.
    #[test]
    fn every_shipped_function_is_in_the_catalog() {
        let catalog = Catalog::shipped();
        let names: Vec<String> = catalog.names().iter().map(ToString::to_string).collect();
        let expected =
            ["csv", "dataset", "dispatch", "echo", "infer", "notify", "now", "random", "uuid"];
        assert_eq!(names, expected.map(|name| format!("{name}:1.0.0@default")));
        for (reference, manifest) in catalog.names().iter().zip(manifests()) {
            let told = catalog.function(reference).expect("a listed function");
            assert_eq!((&*told.name, &*told.version), (&*manifest.name, &*manifest.version));
            assert_eq!(told.digest, manifest.digest());
            Schema::compile(&manifest.output.0).expect("a schema of results");
        }
        let newer = FunctionRef::parse("echo:1.0.1@default").expect("a reference");
        assert_eq!(catalog.function(&newer), None);
    }

    /// Mutation: digest the text, or leave a field out.
    #[test]
    fn a_digest_follows_the_meaning_of_a_manifest() {
        let echo = parse(echo::MANIFEST);
        let respelled: FunctionManifest = {
            let json: serde_json::Value = serde_json::from_str(echo::MANIFEST).expect("json");
            let turned: serde_json::Map<_, _> =
                json.as_object().expect("an object").clone().into_iter().rev().collect();
            serde_json::from_value(turned.into()).expect("the same manifest")
        };
        assert_eq!(respelled.digest(), echo.digest());
        let mut files = echo.clone();
        files.capabilities.files.push(FileAccess::Read);
        assert_ne!(files.digest(), echo.digest());
        let mut input = echo.clone();
        input.input = Json(Value::Bool(false));
        assert_ne!(input.digest(), echo.digest());
    }
}
