//! Version 2 of the Open Inference Protocol, below `/v2`: what a server and a model are, and calls of tensors.

use gateway::desk::{HEAD, Reply, Shelved, Who};
use http::{HeaderMap, Method, StatusCode};
use models::{CallRefusal, Format, Model, ModelName, Source};
use serde_json::json;

use super::door::percent_decoded;
use super::shelf::Models;

/// The product, as it names itself, and what it speaks beyond the protocol's core.
const SERVER: &str = "isonomy";
const EXTENSIONS: [&str; 1] = ["binary_tensor_data"];

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Asked {
    Server,
    /// Whether the server is there. Nobody needs a key for that.
    Health,
    Model(ModelName),
    ModelReady(ModelName),
    Infer(ModelName),
}

impl Asked {
    pub(super) fn read(method: &Method, path: &str) -> Result<Self, CallRefusal> {
        let is_read = method == Method::GET || method == Method::HEAD;
        match path.trim_end_matches('/') {
            "/v2" if is_read => return Ok(Self::Server),
            "/v2/health/live" | "/v2/health/ready" if is_read => return Ok(Self::Health),
            _ => {}
        }
        let rest = path.strip_prefix("/v2/models/").ok_or(CallRefusal::NoOperation)?;
        if let Some(rest) = rest.strip_suffix("/infer") {
            let name = name(rest)?;
            return if method == Method::POST {
                Ok(Self::Infer(name))
            } else {
                Err(CallRefusal::NoOperation)
            };
        }
        // What Triton has beside the protocol; a model of such a name is asked with its slash escaped.
        let is_beside = ["/config", "/stats"].iter().any(|it| rest.ends_with(it));
        if !is_read || is_beside {
            return Err(CallRefusal::NoOperation);
        }
        match rest.strip_suffix("/ready") {
            Some(rest) => Ok(Self::ModelReady(name(rest)?)),
            None => Ok(Self::Model(name(rest)?)),
        }
    }
}

/// A version in the path is one behind the name here.
fn name(text: &str) -> Result<ModelName, CallRefusal> {
    let name = match text.rsplit_once("/versions/") {
        Some((name, version)) => {
            format!("{}@{}", percent_decoded(name), percent_decoded(version))
        }
        None => percent_decoded(text),
    };
    Ok(ModelName::parse(&name).map_err(models::AskError::Model)?)
}

/// Headers of a call that mean something.
pub(super) fn headers(given: &HeaderMap) -> HeaderMap {
    HeaderMap::from_iter(given.get(HEAD).map(|head| (HEAD, head.clone())))
}

pub(super) fn server() -> Reply {
    let version = env!("CARGO_PKG_VERSION");
    let body = json!({"name": SERVER, "version": version, "extensions": EXTENSIONS});
    Reply::json(StatusCode::OK, &body)
}

pub(super) fn health() -> Reply {
    Reply::json(StatusCode::OK, &json!({"live": true, "ready": true}))
}

impl Models {
    pub(super) fn tensors_model(&self, who: &Who, name: ModelName) -> Result<Reply, CallRefusal> {
        let shelved = self.found(who, name)?;
        let Model { namespace, name, spec } = &shelved.model;
        let elsewhere = || {
            let what = format!("`{name}` is at a server of its own, which alone knows its tensors");
            CallRefusal::Inputs(what)
        };
        let Source::Artifact(artifact) = &spec.source else { return Err(elsewhere()) };
        if artifact.format != Format::Onnx {
            let what = format!("`{name}` is asked in words, below `/v1`, and has no tensors");
            return Err(CallRefusal::Inputs(what));
        }
        let key = (namespace.clone(), artifact.digest);
        let (inputs, outputs) = {
            let kept = self.kept();
            let doc = kept.artifacts.get(&key).ok_or_else(|| CallRefusal::NoModel(name.clone()))?;
            (doc.inputs.clone(), doc.outputs.clone())
        };
        let (base, version) = name.split();
        let body = json!({
            "name": base, "versions": version.into_iter().collect::<Vec<_>>(),
            "platform": "onnx_onnxv1", "inputs": inputs, "outputs": outputs,
        });
        Ok(Reply::json(StatusCode::OK, &body))
    }

    pub(super) fn tensors_ready(&self, who: &Who, name: ModelName) -> Result<Reply, CallRefusal> {
        self.found(who, name.clone())?;
        let is_ready = self.desk().is_ready(&who.by.namespace, &name);
        let status = if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        let body = json!({"name": name.as_str(), "ready": is_ready});
        Ok(Reply::json(status, &body))
    }

    fn found(&self, who: &Who, name: ModelName) -> Result<std::sync::Arc<Shelved>, CallRefusal> {
        let found = self.desk().first(&who.by.namespace, &who.terms, &name);
        found.ok_or(CallRefusal::NoModel(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mutation: take a name with a slash for a path, a version for a part of it, a GET for a call, or what Triton has
    /// beside it for a name.
    #[test]
    fn a_path_says_what_is_asked_of_which_model() {
        let read = |method: Method, path: &str| Asked::read(&method, path);
        let name = |text: &str| ModelName::parse(text).expect("a name");
        let infer = |path: &str, expected: &str| {
            assert_eq!(read(Method::POST, path), Ok(Asked::Infer(name(expected))), "{path}");
        };
        infer("/v2/models/risk/infer", "risk");
        infer("/v2/models/risk/versions/1.10/infer", "risk@1.10");
        infer("/v2/models/risk%401/infer", "risk@1");
        infer("/v2/models/lab%2Frisk/infer", "lab/risk");
        infer("/v2/models/lab/risk/infer", "lab/risk");
        assert_eq!(read(Method::GET, "/v2"), Ok(Asked::Server));
        assert_eq!(read(Method::GET, "/v2/health/live"), Ok(Asked::Health));
        let ready = Asked::ModelReady(name("risk@1"));
        assert_eq!(read(Method::GET, "/v2/models/risk/versions/1/ready"), Ok(ready));
        let config = Asked::Model(name("lab/config"));
        assert_eq!(read(Method::GET, "/v2/models/lab%2Fconfig"), Ok(config));
        assert_eq!(read(Method::GET, "/v2/models/risk"), Ok(Asked::Model(name("risk"))));
        for (method, path) in [
            (Method::GET, "/v2/models/risk/infer"),
            (Method::POST, "/v2/models/risk"),
            (Method::GET, "/v2/other"),
            (Method::POST, "/v2/repository/index"),
            (Method::GET, "/v2/models/"),
            (Method::GET, "/v2/models/risk/config"),
            (Method::GET, "/v2/models/risk/versions/1/stats"),
        ] {
            assert!(read(method, path).is_err(), "{path}");
        }
    }
}
