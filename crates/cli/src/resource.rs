//! Documents of `kind: Model`, `kind: Route` and `kind: Watch`: what calls to models may ask for at a site, and
//! which are seen on their way.
//!
//! Judged here as the site judges them; where they are sent is `command::shelf`.

use base::{Digest, Namespace};
use models::{ModelName, ModelSpec, RouteSpec, WatchSpec};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_saphyr::Spanned;
use spec::YamlWrong;

/// What they say in `apiVersion`.
pub const API_VERSION: &str = "isonomy.dev/v1";

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Kind {
    Model,
    Route,
    Watch,
}

/// What a document says, as the site takes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    pub kind: Kind,
    /// Whoever applies it says it where the document does not.
    pub namespace: Option<Namespace>,
    pub name: ModelName,
    pub spec: Value,
    /// A model's file as it is written there, whose digest the spec has still to get.
    pub file: Option<String>,
}

/// As people write it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct File<T> {
    api_version: Spanned<String>,
    #[serde(rename = "kind")]
    _kind: String,
    metadata: Metadata,
    spec: Spanned<T>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Metadata {
    #[serde(default)]
    namespace: Option<Namespace>,
    name: ModelName,
}

impl Kind {
    pub const ALL: [Self; 3] = [Self::Model, Self::Route, Self::Watch];

    /// As a document says it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Model => "Model",
            Self::Route => "Route",
            Self::Watch => "Watch",
        }
    }

    /// As people say it.
    #[must_use]
    pub const fn noun(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Route => "route",
            Self::Watch => "watch",
        }
    }

    #[must_use]
    pub const fn plural(self) -> &'static str {
        match self {
            Self::Model => "models",
            Self::Route => "routes",
            Self::Watch => "watches",
        }
    }

    /// Which other kind is called by the same names.
    #[must_use]
    pub const fn other(self) -> Option<Self> {
        match self {
            Self::Model => Some(Self::Route),
            Self::Route => Some(Self::Model),
            Self::Watch => None,
        }
    }
}

/// What a text says, or where it is wrong.
pub fn read(kind: Kind, text: &str) -> Result<Resource, YamlWrong> {
    match kind {
        Kind::Model => match with_file(text) {
            Some(document) => read_file(document),
            None => read_as(kind, text, ModelSpec::check),
        },
        Kind::Route => read_as(kind, text, RouteSpec::check),
        Kind::Watch => read_as(kind, text, WatchSpec::check),
    }
}

/// A model that names its file by a path.
fn with_file(text: &str) -> Option<File<Value>> {
    let file: File<Value> = serde_saphyr::from_str(text).ok()?;
    file.spec.value["artifact"]["file"].is_string().then_some(file)
}

/// The digest of the file is put in its place by whoever reads it.
fn read_file(document: File<Value>) -> Result<Resource, YamlWrong> {
    let File { api_version, metadata, mut spec, .. } = document;
    if api_version.value != API_VERSION {
        return Err(wrong_at(&api_version, format!("`apiVersion` is `{API_VERSION}`")));
    }
    let mut file = None;
    if let Some(artifact) = spec.value["artifact"].as_object_mut() {
        file = artifact.remove("file").and_then(|file| file.as_str().map(str::to_owned));
        let place = Digest::of(b"").to_string();
        if artifact.insert("digest".to_owned(), place.into()).is_some() {
            let what = "`artifact` has a `file` or a `digest`, and not both";
            return Err(wrong_at(&spec, what.to_owned()));
        }
    }
    let read: Result<ModelSpec, _> = serde_json::from_value(spec.value.clone());
    let read = read.map_err(|wrong| wrong_at(&spec, wrong.to_string()))?;
    read.check().map_err(|wrong| wrong_at(&spec, wrong.to_string()))?;
    let Metadata { namespace, name } = metadata;
    let spec = serde_json::to_value(&read).expect("our own types have JSON text");
    Ok(Resource { kind: Kind::Model, namespace, name, spec, file })
}

fn read_as<T: DeserializeOwned + Serialize, E: std::fmt::Display>(
    kind: Kind,
    text: &str,
    check: impl FnOnce(&T) -> Result<(), E>,
) -> Result<Resource, YamlWrong> {
    let file: File<T> = serde_saphyr::from_str(text).map_err(|wrong| YamlWrong::from(&wrong))?;
    let File { api_version, metadata, spec, .. } = file;
    if api_version.value != API_VERSION {
        return Err(wrong_at(&api_version, format!("`apiVersion` is `{API_VERSION}`")));
    }
    check(&spec.value).map_err(|wrong| wrong_at(&spec, wrong.to_string()))?;
    let Metadata { namespace, name } = metadata;
    let spec = serde_json::to_value(&spec.value).expect("our own types have JSON text");
    Ok(Resource { kind, namespace, name, spec, file: None })
}

fn wrong_at<T>(at: &Spanned<T>, what: String) -> YamlWrong {
    let number = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
    let (line, column) = (at.referenced.line(), at.referenced.column());
    YamlWrong { line: number(line), column: number(column), what }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODEL: &str = "apiVersion: isonomy.dev/v1\nkind: Model\nmetadata: {namespace: lab, name: a/b:1}\nspec:\n  upstream: {url: http://127.0.0.1:1/v1}\n  price: free\n";

    fn said(kind: Kind, text: &str) -> String {
        match read(kind, text) {
            Ok(read) => format!("{}: {}", read.name, read.spec),
            Err(YamlWrong { line, column, what }) => format!("{line}:{column} {what}"),
        }
    }

    /// Mutation: leave out the check of a spec, or say no place.
    #[test]
    fn a_document_is_what_the_site_takes_or_says_where_it_is_wrong() {
        assert_eq!(
            said(Kind::Model, MODEL),
            r#"a/b:1: {"upstream":{"url":"http://127.0.0.1:1/v1","dialect":"open-ai"},"price":"free"}"#
        );
        let route = "apiVersion: isonomy.dev/v1\nkind: Route\nmetadata: {name: best}\nspec:\n  to: [{model: a}, {model: b}]\n";
        let read = read(Kind::Route, route).expect("a route");
        assert_eq!((read.namespace, read.spec["to"][1]["model"].as_str()), (None, Some("b")));
        for (from, to, expected) in [
            ("http://127", "ftp://127", "5:3 `upstream.url` is not an address"),
            ("price: free", "prize: free", "6:3 unknown field"),
            ("v1\nkind", "v2\nkind", "1:13 `apiVersion` is"),
            ("a/b:1", "'a b'", "is not a model's name"),
        ] {
            let wrong = said(Kind::Model, &MODEL.replacen(from, to, 1));
            assert!(wrong.contains(expected), "{to}: {wrong}");
        }
        let twice = said(Kind::Route, &route.replace("model: b", "model: a"));
        assert!(twice.contains("`to` has `a` twice"), "{twice}");
    }
}
