//! Workflow documents as they lie in files. Only their heads are read here: which workflow it is
//! decides where it is sent, and everything else is the site's to judge.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use base::limits::DOCUMENT_BYTES_MAX;
use base::{Namespace, WorkflowName};
use serde::Deserialize;
use serde_json::Value;
use wire::WorkflowApply;

use crate::failure::{Failure, Outcome};
use crate::folder;
use crate::resource::Kind;

/// Documents in one folder and those below. Nobody can look at a longer plan.
const DOCUMENTS_MAX: usize = 1_000;

/// Files of one folder and those below that are looked at, whatever is in them.
const FILES_MAX: usize = 10_000;

/// What a placement calls itself.
const PLACEMENT: &str = "Placement";

/// What begins the `apiVersion` of what is ours.
const OURS: &str = "isonomy.dev/";

/// Kinds of it, each with what it is for.
const KINDS: [(&str, &str); 5] = [
    (PLACEMENT, "which sites get which workflows"),
    (Kind::Model.name(), "what answers calls to a name"),
    (Kind::Route.name(), "a name for several models"),
    (Kind::Watch.name(), "an address elsewhere that calls are seen on their way to"),
    ("Site", "a site's configuration, which is not applied"),
];

/// Where a document is sent that does not say what it is called. The site answers with what is
/// wrong with it.
const NAMELESS: &str = "unnamed";

#[derive(Debug, Clone)]
pub struct Document {
    /// The file, or `stdin`.
    pub source: String,
    pub text: String,
    pub head: Head,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Head {
    Named {
        namespace: Namespace,
        name: WorkflowName,
    },
    /// Which sites get which workflows: for a hub.
    Placement,
    /// What calls may ask for: for a site.
    Resource(Kind),
    /// It is said to be a workflow, and what is wrong is the site's to say.
    Unclear,
    /// It says that it is ours, and has a kind that there is not.
    UnknownKind(String),
    /// Another kind of file: nothing in it is called `document`.
    Foreign,
}

/// Everything that was found, and the files that are no workflows.
#[derive(Debug, Default)]
pub struct Found {
    pub documents: Vec<Document>,
    pub skipped: Vec<PathBuf>,
}

impl Document {
    #[must_use]
    pub fn is_named(&self) -> bool {
        matches!(self.head, Head::Named { .. })
    }

    #[must_use]
    pub fn target(&self, usual: &Namespace) -> (Namespace, WorkflowName) {
        match &self.head {
            Head::Named { namespace, name } => (namespace.clone(), name.clone()),
            Head::Placement
            | Head::Resource(_)
            | Head::UnknownKind(_)
            | Head::Unclear
            | Head::Foreign => {
                (usual.clone(), WorkflowName::parse(NAMELESS).expect("a valid name"))
            }
        }
    }

    #[must_use]
    pub fn apply(&self, dry_run: bool, reason: Option<String>) -> WorkflowApply {
        WorkflowApply {
            text: self.text.clone(),
            dry_run,
            source: Some(self.source.clone()),
            reason,
        }
    }
}

pub fn read(file: &Path) -> Outcome<Document> {
    if file == Path::new("-") {
        return read_from("stdin".to_owned(), std::io::stdin().lock());
    }
    let source = file.display().to_string();
    let opened = fs::File::open(file)
        .map_err(|cause| Failure::usage(format!("cannot read the document `{source}`: {cause}")))?;
    read_from(source, opened)
}

fn read_from(source: String, from: impl std::io::Read) -> Outcome<Document> {
    let mut bytes = Vec::new();
    from.take(DOCUMENT_BYTES_MAX as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(|cause| Failure::usage(format!("cannot read the document `{source}`: {cause}")))?;
    if bytes.len() > DOCUMENT_BYTES_MAX {
        return Err(Failure::usage(format!(
            "`{source}` is larger than {DOCUMENT_BYTES_MAX} bytes"
        )));
    }
    let text = String::from_utf8(bytes).map_err(|cause| {
        let at = cause.utf8_error().valid_up_to();
        Failure::usage(format!("`{source}` is not UTF-8 text, at byte {at}"))
    })?;
    let head = head(&text);
    if let Head::UnknownKind(kind) = &head {
        return Err(Failure::usage(format!("`{source}`: {}", unknown(kind))).hint(kinds()));
    }
    Ok(Document { source, text, head })
}

/// What is wrong with a kind.
#[must_use]
pub fn unknown(kind: &str) -> String {
    match kind {
        "" => "it has no `kind`".to_owned(),
        kind => format!("there is no `kind: {}`", kind.chars().take(80).collect::<String>()),
    }
}

#[must_use]
pub fn kinds() -> String {
    let kinds = KINDS.map(|(kind, what)| format!("`{kind}` ({what})"));
    format!("kinds are {}; a workflow has a `document` at its top", kinds.join(", "))
}

/// Which workflow it is, if it is one.
#[must_use]
pub fn head(text: &str) -> Head {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Outer {
        document: Option<Inner>,
        kind: Option<String>,
        api_version: Option<Value>,
    }
    #[derive(Deserialize)]
    struct Inner {
        namespace: Option<Namespace>,
        name: Option<WorkflowName>,
    }
    match serde_saphyr::from_str(text) {
        Ok(Outer { document: None, kind: Some(kind), .. }) if kind == PLACEMENT => Head::Placement,
        Ok(Outer { document: None, kind, api_version }) => {
            let is_ours = api_version.as_ref().and_then(Value::as_str);
            let is_ours = is_ours.is_some_and(|version| version.starts_with(OURS));
            let kind = kind.unwrap_or_default();
            let resource = Kind::ALL.into_iter().find(|known| known.name() == kind);
            if let Some(resource) = resource.filter(|_| is_ours) {
                return Head::Resource(resource);
            }
            match is_ours && KINDS.iter().all(|(known, _)| *known != kind) {
                true => Head::UnknownKind(kind),
                false => Head::Foreign,
            }
        }
        Ok(Outer {
            document: Some(Inner { namespace: Some(namespace), name: Some(name) }),
            ..
        }) => Head::Named { namespace, name },
        Ok(Outer { document: Some(_), .. }) | Err(_) => Head::Unclear,
    }
}

/// The documents in a file, or in a folder and below, in the order of their names.
pub fn find(path: &Path) -> Outcome<Found> {
    let mut found = Found::default();
    if path.is_dir() {
        for file in paths_below(path)? {
            add(file, &mut found)?;
        }
    } else {
        found.documents.push(read(path)?);
    }
    Ok(found)
}

/// Files that may be documents, by their endings, in a folder and below, in the order of their
/// names. Hidden ones are left out.
pub fn paths_below(folder: &Path) -> Outcome<Vec<PathBuf>> {
    let mut found = Vec::new();
    folder::walk(folder, &mut |path| {
        let extension = path.extension().and_then(|extension| extension.to_str());
        if !matches!(extension, Some("yaml" | "yml" | "json")) {
            return Ok(());
        }
        if found.len() == FILES_MAX {
            return Err(Failure::usage(format!("there are more than {FILES_MAX} files"))
                .hint("name the folders below one by one"));
        }
        found.push(path);
        Ok(())
    })?;
    Ok(found)
}

fn add(path: PathBuf, found: &mut Found) -> Outcome<()> {
    let document = read(&path)?;
    if document.head == Head::Foreign {
        found.skipped.push(path);
        return Ok(());
    }
    if found.documents.len() == DOCUMENTS_MAX {
        return Err(Failure::usage(format!("there are more than {DOCUMENTS_MAX} documents"))
            .hint("apply the folders below one by one"));
    }
    found.documents.push(document);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(namespace: &str, name: &str) -> Head {
        let parsed = (Namespace::parse(namespace), WorkflowName::parse(name));
        Head::Named { namespace: parsed.0.expect("valid"), name: parsed.1.expect("valid") }
    }

    /// Mutation: take a broken document, or one of ours with a typo in its kind, for a foreign file, so that
    /// nobody hears of it.
    #[test]
    fn a_head_says_which_workflow_it_is_or_leaves_it_to_the_site() {
        assert_eq!(
            head("document: {dsl: '1.0.3', namespace: a, name: b}\ndo: []\n"),
            named("a", "b")
        );
        assert_eq!(
            head("{\"document\": {\"namespace\": \"a\", \"name\": \"b\"}}"),
            named("a", "b")
        );
        for unclear in [
            "document: {namespace: a}",
            "document: {namespace: a, name: 'b c'}",
            "document: [",
            "- 1",
        ] {
            assert_eq!(head(unclear), Head::Unclear, "{unclear}");
        }
        assert_eq!(head("openapi: 3.0.0\n"), Head::Foreign);
        assert_eq!(head("kind: Placement\n"), Head::Placement);
        let ours = |kind: &str| head(&format!("apiVersion: isonomy.dev/v1\n{kind}"));
        assert_eq!(ours("kind: Placment"), Head::UnknownKind("Placment".to_owned()));
        assert_eq!(ours("spec: {}"), Head::UnknownKind(String::new()));
        assert_eq!(ours("kind: Site"), Head::Foreign);
        assert_eq!(ours("kind: Route"), Head::Resource(Kind::Route));
        assert_eq!(head("kind: Model\n"), Head::Foreign);
        assert_eq!(head("apiVersion: apps/v1\nkind: Deployment\n"), Head::Foreign);
    }

    /// Mutation: do not sort, do not go below, or read hidden folders.
    #[test]
    fn a_folder_is_read_in_order_without_what_is_no_workflow() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let put = |path: &str, text: &str| {
            let file = folder.path().join(path);
            fs::create_dir_all(file.parent().expect("below the folder")).expect("made");
            fs::write(file, text).expect("written");
        };
        put("z.yaml", "document: {namespace: a, name: z}");
        put("b/a.json", "{\"document\": {\"namespace\": \"a\", \"name\": \"a\"}}");
        put("other.yml", "kind: Site");
        put("readme.md", "document: x");
        put(".hidden/x.yaml", "document: {namespace: a, name: x}");
        let found = find(folder.path()).expect("readable");
        let heads: Vec<_> = found.documents.into_iter().map(|document| document.head).collect();
        assert_eq!(heads, [named("a", "a"), named("a", "z")]);
        assert_eq!(found.skipped, [folder.path().join("other.yml")]);
    }

    /// Mutation: read without a limit.
    #[test]
    fn a_huge_or_foreign_text_is_refused() {
        let long = std::io::Cursor::new(vec![b'#'; DOCUMENT_BYTES_MAX + 1]);
        assert!(read_from("x".to_owned(), long).is_err());
        let foreign = std::io::Cursor::new(b"ab\xff".to_vec());
        let said = read_from("x".to_owned(), foreign).expect_err("not text").render();
        assert_eq!(said, "error: `x` is not UTF-8 text, at byte 2");
    }
}
