//! The reader from outside: documents in, trees and diagnostics out.

mod around;
mod at_once;
mod codes;
mod examples;
mod gallery;
mod hostile;
mod language;
mod schema;
mod warnings;

use std::path::PathBuf;
use std::sync::Arc;

use base::name::{FunctionRef, WorkflowKey};
use base::{Digest, value};
use isonomy_spec::{Catalog, Diagnostic, Lookup, Manifest, Read};

/// Three functions: one wants to know what it is given, one hands it to others.
struct Functions;

impl Catalog for Functions {
    fn function(&self, function: &FunctionRef) -> Option<Manifest> {
        if !self.names().contains(function) {
            return None;
        }
        let schema = r#"{"type": "object", "properties": {"file": {"type": "string"}}, "required": ["file"], "additionalProperties": false}"#;
        let places =
            r#"{"type": "object", "properties": {"to": {"type": "string", "maxLength": 9}}}"#;
        let schema = match &*function.name {
            "csv" => Some(schema),
            "send" => Some(places),
            _ => None,
        };
        let fixed: &[Arc<str>] = if &*function.name == "send" { &["to".into()] } else { &[] };
        Some(Manifest {
            name: function.name.clone(),
            version: function.version.clone(),
            digest: Digest::of(function.to_string().as_bytes()),
            input: schema.map(|schema| value::parse(schema.as_bytes()).expect("a schema")),
            output: None,
            fixed: fixed.into(),
            summary: String::new(),
        })
    }

    /// Knows one workflow, knows that it does not know those called `nobody`, and asks for the rest.
    fn workflow(&self, key: &WorkflowKey, _version: &str) -> Lookup<Digest> {
        match key.name.as_str() {
            "known" => Lookup::Found(Digest::of(b"known")),
            "nobody" => Lookup::Missing("no workflow of that name is applied".to_owned()),
            _ => Lookup::NotAsked,
        }
    }

    fn pools(&self) -> Option<Vec<String>> {
        Some(vec!["gpu".to_owned()])
    }

    fn names(&self) -> Vec<FunctionRef> {
        ["csv:1.0.0@default", "echo:1.0.0@default", "send:1.0.0@default"]
            .into_iter()
            .filter_map(FunctionRef::parse)
            .collect()
    }

    fn resource(&self, uri: &str) -> Lookup<Arc<str>> {
        let Some(path) = uri.strip_prefix("https://t.example/") else { return Lookup::NotAsked };
        match RESOURCES.iter().find(|(found, _)| *found == path) {
            Some((_, text)) => Lookup::Found((*text).into()),
            None => Lookup::Missing("the server answered 404 Not Found".to_owned()),
        }
    }
}

/// What lies behind the addresses of `t.example`. Nobody has looked behind any other.
const RESOURCES: [(&str, &str); 5] = [
    ("catalog/functions/log/1.0.0/function.yaml", "set: { logged: '${ .message }' }"),
    ("broken.yaml", "set: [unclosed"),
    ("not-a-task.yaml", "title: a page\n"),
    ("schema-of-nothing.json", r#"{"type": "nothing"}"#),
    (
        "openapi.yaml",
        "openapi: 3.0.0
servers: [{ url: 'https://pets.example' }]
paths:
  /pets/{id}:
    parameters: [{ name: id, in: path, required: true }]
    get: { operationId: getPet, parameters: [{ name: color, in: query }] }
    put: { operationId: putPet, requestBody: { required: true, content: { application/json: {} } } }
",
    ),
];

fn read(text: &str) -> Result<Read, Vec<Diagnostic>> {
    isonomy_spec::read(text, &Functions)
}

fn rendered(diagnostics: &[Diagnostic], file: &str, source: &str) -> String {
    diagnostics.iter().map(|found| found.render(file, source)).collect::<Vec<_>>().join("\n")
}

fn folder(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path)
}
