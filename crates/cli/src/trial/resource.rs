//! Files that stand for what a workflow refers to by its address: a test fetches nothing.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base::limits::DOCUMENT_BYTES_MAX;
use serde_saphyr::Spanned;

use super::file::{Mistake, line_of};

/// Stand-ins of one case: as many as a site would fetch for one document.
const RESOURCES_MAX: usize = 64;

/// Texts by address.
pub type Resources = BTreeMap<String, Resource>;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    pub text: Arc<str>,
    /// Where it is named in the test file.
    pub line: u64,
}

/// Reads the files, which lie from `folder`, on top of those that are there already.
pub fn read(
    folder: &Path,
    named: BTreeMap<String, Spanned<PathBuf>>,
    shared: &Resources,
) -> Result<Resources, Mistake> {
    let mut resources = shared.clone();
    for (uri, found) in named {
        let line = line_of(&found);
        let path = folder.join(&found.value);
        let text = text(&path).map_err(|why| {
            let what = format!("cannot read `{}`, which stands for `{uri}`: {why}", path.display());
            Mistake { line, what, hint: Some("name a file from the test file's folder") }
        })?;
        resources.insert(uri, Resource { text, line });
        if resources.len() > RESOURCES_MAX {
            let what = format!("a document refers to at most {RESOURCES_MAX} addresses");
            return Err(Mistake { line, what, hint: None });
        }
    }
    Ok(resources)
}

fn text(path: &Path) -> Result<Arc<str>, String> {
    let mut bytes = Vec::new();
    let file = fs::File::open(path).map_err(|cause| cause.to_string())?;
    file.take(DOCUMENT_BYTES_MAX as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(|cause| cause.to_string())?;
    if bytes.len() > DOCUMENT_BYTES_MAX {
        return Err(format!("it is larger than {DOCUMENT_BYTES_MAX} bytes"));
    }
    match String::from_utf8(bytes) {
        Ok(text) => Ok(text.into()),
        Err(_) => Err("it is not text in UTF-8".to_owned()),
    }
}
