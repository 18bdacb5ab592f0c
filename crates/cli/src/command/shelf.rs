//! What models, routes and watches have in common at the command line: how they are listed, shown, removed, and
//! applied from documents.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use base::{Digest, Namespace};
use models::ModelName;
use serde::Serialize;
use serde_json::{Value, json};
use wire::{ModelPut, Page, ProblemCode, WorkflowChange};

use super::apply::word;
use super::{api, say_next};
use crate::api::Api;
use crate::args::Global;
use crate::args::model::{ResourceList, ResourceRemove};
use crate::confirm::agreed;
use crate::document::{Document, Head};
use crate::exit::Exit;
use crate::failure::{Failure, Outcome, problem_of};
use crate::output::{self, Format};
use crate::resource::{self, API_VERSION, Kind, Resource};

/// What a document would change, or has changed.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ResourceApplied {
    pub kind: Kind,
    pub namespace: String,
    pub name: String,
    pub change: WorkflowChange,
    #[serde(skip)]
    spec: Value,
    /// A model's file, which goes first.
    #[serde(skip)]
    file: Option<PathBuf>,
}

pub fn list<T: Serialize>(args: &ResourceList, page: &Page<T>, text: String) -> Outcome {
    output::show(args.output.output, page, || text)?;
    say_next(page.next.as_deref());
    Ok(Exit::Ok)
}

/// For people a document that can be applied, below what is known of it.
pub fn show<T: Serialize>(
    format: Format,
    view: &T,
    head: &str,
    kind: Kind,
    (namespace, name, spec): (&str, &str, &Value),
) -> Outcome {
    let document = json!({
        "apiVersion": API_VERSION, "kind": kind.name(),
        "metadata": {"namespace": namespace, "name": name}, "spec": spec,
    });
    let document = output::yaml(&document)?;
    output::show(format, view, || {
        let head: Vec<String> = head.lines().map(|line| format!("# {line}")).collect();
        output::harmless(&format!("{}\n{document}", head.join("\n")))
    })?;
    Ok(Exit::Ok)
}

pub async fn remove(global: &Global, kind: Kind, args: ResourceRemove) -> Outcome {
    let ResourceRemove { name, yes, reason } = args;
    let api = api(global)?;
    let what = format!("the {} {}/{name}", kind.noun(), api.namespace);
    let question = format!("remove {what} at {}", api.address());
    if !agreed(yes, &question, &format!("{what} is removed"))? {
        return Ok(Exit::Cancelled);
    }
    api.resource_delete(kind, &name, reason.as_deref()).await?;
    output::say(&format!("removed {what}"));
    Ok(Exit::Ok)
}

/// What the documents among these say that are models and routes. All that is wrong with them is told at once.
pub fn read(documents: &[Document], usual: &Namespace) -> Outcome<Vec<Resource>> {
    let (mut found, mut places) = (Vec::new(), Vec::new());
    let mut sources: HashMap<(bool, Namespace, ModelName), &str> = HashMap::new();
    for Document { source, text, head } in documents {
        let Head::Resource(kind) = head else { continue };
        match resource::read(*kind, text) {
            Ok(mut resource) => {
                let namespace = resource.namespace.get_or_insert_with(|| usual.clone());
                // A model and a route are called by the same names, a watch is not.
                let is_alone = kind.other().is_none();
                let key = (is_alone, namespace.clone(), resource.name.clone());
                if let Some(file) = &mut resource.file {
                    let beside = Path::new(source).parent().unwrap_or(Path::new(""));
                    let path = beside.join(&*file);
                    let content = super::artifact::read(&path)?;
                    let format = super::artifact::format(&content);
                    resource.spec["artifact"]["digest"] = Digest::of(&content).to_string().into();
                    resource.spec["artifact"]["format"] = format.as_str().into();
                    *file = path.display().to_string();
                }
                if let Some(first) = sources.insert(key, source) {
                    let name = &resource.name;
                    places
                        .push(format!("error: `{first}` and `{source}` both say what `{name}` is"));
                }
                found.push(resource);
            }
            Err(wrong) => places.push(format!(
                "error: {}\n  --> {source}:{}:{}",
                wrong.what, wrong.line, wrong.column
            )),
        }
    }
    match places.len() {
        0 => Ok(found),
        wrong => {
            let what = format!(
                "not valid: {}; nothing was applied",
                super::apply::counted(wrong, "mistake")
            );
            Err(Failure::usage(what).places(places))
        }
    }
}

/// What would change.
pub async fn plan(api: &Api, resources: Vec<Resource>) -> Outcome<Vec<ResourceApplied>> {
    let mut plan = Vec::new();
    for Resource { kind, namespace, name, spec, file } in resources {
        let namespace = namespace.unwrap_or_else(|| api.namespace.clone());
        let change = match find(api, kind, &namespace, &name).await? {
            Some(there) if there == spec => WorkflowChange::Unchanged,
            Some(_) => WorkflowChange::Changed,
            None => {
                if let Some(other) = kind.other() {
                    refuse_taken(api, other, &namespace, &name).await?;
                }
                WorkflowChange::New
            }
        };
        let (namespace, name) = (namespace.to_string(), name.to_string());
        let file = file.map(PathBuf::from);
        plan.push(ResourceApplied { kind, namespace, name, change, spec, file });
    }
    // A route is shown behind the models that it names.
    plan.sort_by_key(|it| it.kind);
    Ok(plan)
}

async fn find(
    api: &Api,
    kind: Kind,
    namespace: &Namespace,
    name: &ModelName,
) -> Outcome<Option<Value>> {
    match api.resource_show(kind, namespace, name).await {
        Ok(spec) => Ok(Some(spec)),
        Err(error) => match problem_of(&error) {
            Some(problem) if problem.code == ProblemCode::ModelMissing => Ok(None),
            _ => Err(api.explain(error)),
        },
    }
}

/// Both are called by their name.
async fn refuse_taken(
    api: &Api,
    other: Kind,
    namespace: &Namespace,
    name: &ModelName,
) -> Outcome<()> {
    match find(api, other, namespace, name).await? {
        None => Ok(()),
        Some(_) => {
            let noun = other.noun();
            let what = format!("there is a {noun} `{name}` in `{namespace}`; nothing was applied");
            Err(Failure::usage(what).hint(format!(
                "take another name, or remove it with `isonomy {} remove`",
                other.plural()
            )))
        }
    }
}

/// Stores the models and routes among these, and takes them out.
pub async fn apply(api: &Api, documents: &mut Vec<Document>, reason: Option<&str>) -> Outcome<()> {
    let resources = read(documents, &api.namespace)?;
    documents.retain(|document| !matches!(document.head, Head::Resource(_)));
    put(api, &plan(api, resources).await?, reason).await
}

/// Puts what is new or changed, one after another. Where one is refused, those before it are there.
pub async fn put(api: &Api, plan: &[ResourceApplied], reason: Option<&str>) -> Outcome<()> {
    for it in plan.iter().filter(|it| it.change != WorkflowChange::Unchanged) {
        let put = ModelPut { spec: it.spec.clone(), reason: reason.map(str::to_owned) };
        let valid = "it was read from a valid name";
        let namespace = Namespace::parse(&it.namespace).expect(valid);
        let name = ModelName::parse(&it.name).expect(valid);
        if let Some(file) = &it.file {
            api.artifact_take(&namespace, super::artifact::read(file)?).await?;
        }
        let (view, _): (Value, bool) = api.resource_put(it.kind, &namespace, &name, &put).await?;
        if let Some(why) = view["why"].as_str() {
            let state = view["state"].as_str().unwrap_or_default();
            output::say(&format!("{namespace}/{name} is {state}: {why}"));
        }
        if let Some(secret) = view["absentSecret"].as_str() {
            let what = secret_absent(namespace.as_str(), secret);
            output::say(&format!("warning: {namespace}/{name}: {what}"));
        }
        let absent: Vec<&str> =
            view["absent"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        if !absent.is_empty() {
            output::say(&format!("warning: {namespace}/{name}: {}", models_absent(&absent)));
        }
    }
    Ok(())
}

/// A model names a secret that is not there.
pub fn secret_absent(namespace: &str, secret: &str) -> String {
    format!(
        "`{namespace}` has no secret `{secret}`, and calls to the model fail without it; set it with `isonomy secrets set {secret} -n {namespace}`"
    )
}

/// A route names models that are not there.
pub fn models_absent(names: &[&str]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    let (are, them) =
        if names.len() == 1 { ("is no model", "it") } else { ("are no models", "them") };
    format!(
        "there {are} {} here, and calls go past {them}; `isonomy models add` adds {them}",
        names.join(", ")
    )
}

pub fn plan_text(plan: &[ResourceApplied]) -> String {
    let rows = plan.iter().map(|it| {
        let name = format!("{}/{}", it.namespace, it.name);
        vec![word(it.change).to_owned(), it.kind.noun().to_owned(), name]
    });
    output::table(&["change", "kind", "name"], rows)
}

pub fn applied_text(items: &[ResourceApplied]) -> Vec<String> {
    let line = |it: &ResourceApplied| {
        format!("{} {}/{} {}", it.kind.noun(), it.namespace, it.name, word(it.change))
    };
    items.iter().map(line).collect()
}
