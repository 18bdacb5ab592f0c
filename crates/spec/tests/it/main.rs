//! The reader from outside: documents in, trees and diagnostics out.

mod codes;
mod examples;
mod gallery;
mod hostile;
mod language;
mod schema;

use std::path::PathBuf;

use base::name::FunctionRef;
use base::{Digest, value};
use isonomy_spec::{Catalog, Diagnostic, Manifest, Read};

/// Two functions, one of which wants to know what it is given.
struct Functions;

impl Catalog for Functions {
    fn function(&self, function: &FunctionRef) -> Option<Manifest> {
        if !self.names().contains(function) {
            return None;
        }
        let schema = r#"{"type": "object", "properties": {"file": {"type": "string"}}, "required": ["file"]}"#;
        let wants_file = || value::parse(schema.as_bytes()).expect("a schema");
        Some(Manifest {
            name: function.name.clone(),
            version: function.version.clone(),
            digest: Digest::of(function.to_string().as_bytes()),
            input: (&*function.name == "csv").then(wants_file),
            output: None,
            summary: String::new(),
        })
    }

    fn names(&self) -> Vec<FunctionRef> {
        ["csv:1.0.0@default", "echo:1.0.0@default"]
            .into_iter()
            .filter_map(FunctionRef::parse)
            .collect()
    }
}

fn read(text: &str) -> Result<Read, Vec<Diagnostic>> {
    isonomy_spec::read(text, &Functions)
}

fn rendered(diagnostics: &[Diagnostic], file: &str, source: &str) -> String {
    diagnostics.iter().map(|found| found.render(file, source)).collect::<Vec<_>>().join("\n")
}

fn folder(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path)
}
