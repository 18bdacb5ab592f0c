//! Every link in a page of ours leads to something that is there: the file, and the heading in it.

use std::path::{Component, Path, PathBuf};

use xtask::tree;

use crate::none;

/// Targets of `[text](target)` with their lines, code apart.
fn targets(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut in_code = false;
    for (index, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        if in_code {
            continue;
        }
        for part in without_code(line).split("](").skip(1) {
            if let Some((target, _)) = part.split_once(')') {
                let target = target.split_whitespace().next().unwrap_or_default();
                found.push((index + 1, target.to_owned()));
            }
        }
    }
    found
}

/// The line without what stands between backticks.
fn without_code(line: &str) -> String {
    line.split('`').step_by(2).collect()
}

/// The anchors of a page's headings, as the usual viewers make them.
fn anchors(text: &str) -> Vec<String> {
    let headings = text.lines().filter(|line| line.starts_with('#'));
    let anchor = |line: &str| {
        let title = line.trim_start_matches('#').trim().to_lowercase();
        let kept = title.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    };
    headings.map(anchor).collect()
}

/// The path from the root, with `..` taken out; `None` if it leads out of the repository.
fn resolve(page: &Path, target: &str) -> Option<PathBuf> {
    let joined = page.parent().unwrap_or(Path::new("")).join(target);
    let mut path = PathBuf::new();
    for part in joined.components() {
        match part {
            Component::Normal(name) => path.push(name),
            Component::ParentDir => path.pop().then_some(())?,
            Component::CurDir => {}
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(path)
}

fn broken(page: &Path, text: &str, target: &str) -> Option<&'static str> {
    if target.contains("://") || target.starts_with("mailto:") {
        return None;
    }
    let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
    let (path, text) = if file.is_empty() {
        (page.to_owned(), Some(text.to_owned()))
    } else {
        let Some(path) = resolve(page, file) else { return Some("leads out of the repository") };
        (path.clone(), tree::text(&path))
    };
    if !file.is_empty() && !tree::root().join(&path).exists() {
        return Some("no such file");
    }
    let is_page = path.extension().is_some_and(|extension| extension == "md");
    let has_anchor = || anchors(&text.unwrap_or_default()).iter().any(|it| it == anchor);
    (is_page && !anchor.is_empty() && !has_anchor()).then_some("no such heading")
}

/// Mutation: rename a page that another one links to.
#[test]
fn every_link_leads_somewhere() {
    let mut found = Vec::new();
    for page in tree::files(".", &[".md"]) {
        let text = tree::text(&page).unwrap_or_default();
        for (line, target) in targets(&text) {
            if let Some(why) = broken(&page, &text, &target) {
                found.push(format!("{}:{line}: `{target}`: {why}", page.display()));
            }
        }
    }
    none(&found, "links are relative to the page that they stand in");
}

/// Mutation: look inside code, or ignore headings.
#[test]
fn broken_links_are_found_and_code_is_left_alone() {
    let page = Path::new("docs/page.md");
    let text = "# A `b` heading!\n[x](../README.md) `[y](z)`\n```\n[y](z)\n```\n[up](#a-b-heading)";
    let expected = [(2, "../README.md".to_owned()), (6, "#a-b-heading".to_owned())];
    assert_eq!(targets(text), expected);
    assert_eq!(broken(page, text, "#a-b-heading"), None);
    assert_eq!(broken(page, text, "#another"), Some("no such heading"));
    assert_eq!(broken(page, text, "nowhere.md"), Some("no such file"));
    assert_eq!(broken(page, text, "../../x"), Some("leads out of the repository"));
    assert_eq!(broken(page, text, "../LICENSE"), None);
    assert_eq!(broken(page, text, "https://example.com/"), None);
}
