//! What `cargo metadata` says: the packages, what they ask for, and what they get.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, ensure};
use serde_json::Value;

use crate::tree;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Normal,
    Build,
    Dev,
}

/// A package, ours or another's.
#[derive(Debug)]
pub struct Package {
    pub name: String,
    pub version: String,
    /// An SPDX expression, if the package says one.
    pub licence: Option<String>,
    pub is_ours: bool,
    /// What its `Cargo.toml` names itself.
    pub asks: Vec<(String, Kind)>,
    id: String,
}

pub struct Metadata {
    packages: BTreeMap<String, Package>,
    /// What each package gets, by id.
    resolved: BTreeMap<String, Vec<(String, BTreeSet<Kind>)>>,
}

impl Metadata {
    /// For all platforms, with the lock file as it is.
    pub fn read() -> anyhow::Result<Self> {
        let output = crate::test::cargo()
            .args(["metadata", "--format-version", "1", "--locked"])
            .current_dir(tree::root())
            .output()
            .context("cannot start `cargo metadata`")?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "`cargo metadata --locked` failed: {}", said.trim());
        let json =
            serde_json::from_slice(&output.stdout).context("`cargo metadata` gave no JSON")?;
        Self::parse(&json).context("`cargo metadata` has another form than expected")
    }

    pub fn packages(&self) -> impl Iterator<Item = &Package> {
        self.packages.values()
    }

    pub fn ours(&self) -> impl Iterator<Item = &Package> {
        self.packages().filter(|package| package.is_ours)
    }

    /// Everything that is linked into `package` or needed to build it, tests apart; without itself.
    #[must_use]
    pub fn needs(&self, package: &Package) -> BTreeSet<&str> {
        let mut seen = BTreeSet::from([package.id.as_str()]);
        let mut open = vec![package.id.as_str()];
        while let Some(id) = open.pop() {
            for (next, kinds) in self.resolved.get(id).into_iter().flatten() {
                let is_needed = kinds.iter().any(|kind| *kind != Kind::Dev);
                if is_needed && seen.insert(next) {
                    open.push(next);
                }
            }
        }
        seen.remove(package.id.as_str());
        seen.into_iter().filter_map(|id| Some(self.packages.get(id)?.name.as_str())).collect()
    }

    fn parse(json: &Value) -> Option<Self> {
        let members: BTreeSet<&str> =
            json["workspace_members"].as_array()?.iter().filter_map(Value::as_str).collect();
        let packages: Option<Vec<Package>> =
            json["packages"].as_array()?.iter().map(|it| package(it, &members)).collect();
        let packages = packages?.into_iter().map(|it| (it.id.clone(), it)).collect();
        let nodes = json["resolve"]["nodes"].as_array()?.iter().map(node);
        Some(Self { packages, resolved: nodes.collect::<Option<_>>()? })
    }
}

fn package(json: &Value, members: &BTreeSet<&str>) -> Option<Package> {
    let id = json["id"].as_str()?;
    let ask = |it: &Value| Some((it["name"].as_str()?.to_owned(), kind(&it["kind"])?));
    Some(Package {
        name: json["name"].as_str()?.to_owned(),
        version: json["version"].as_str()?.to_owned(),
        licence: json["license"].as_str().map(str::to_owned),
        is_ours: members.contains(id),
        asks: json["dependencies"].as_array()?.iter().map(ask).collect::<Option<_>>()?,
        id: id.to_owned(),
    })
}

type Node = (String, Vec<(String, BTreeSet<Kind>)>);

fn node(json: &Value) -> Option<Node> {
    let gets = json["deps"].as_array()?.iter().map(|it| {
        let kinds = it["dep_kinds"].as_array()?.iter().map(|it| kind(&it["kind"]));
        Some((it["pkg"].as_str()?.to_owned(), kinds.collect::<Option<_>>()?))
    });
    Some((json["id"].as_str()?.to_owned(), gets.collect::<Option<_>>()?))
}

fn kind(json: &Value) -> Option<Kind> {
    match json.as_str() {
        None => Some(Kind::Normal),
        Some("build") => Some(Kind::Build),
        Some("dev") => Some(Kind::Dev),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Mutation: follow dev edges in `needs`, or stop after one edge.
    #[test]
    fn what_a_package_needs_goes_all_the_way_down_and_leaves_tests_out() {
        let package = |name: &str| json!({"id": name, "name": name, "version": "1.0.0", "license": null, "dependencies": []});
        let edge = |to: &str, kind: Value| json!({"pkg": to, "dep_kinds": [{"kind": kind}]});
        let metadata = Metadata::parse(&json!({
            "workspace_members": ["a"],
            "packages": [package("a"), package("b"), package("c"), package("d")],
            "resolve": {"nodes": [
                {"id": "a", "deps": [edge("b", Value::Null), edge("d", json!("dev"))]},
                {"id": "b", "deps": [edge("c", json!("build"))]},
                {"id": "c", "deps": []},
                {"id": "d", "deps": []},
            ]},
        }));
        let metadata = metadata.expect("the form that cargo gives");
        let a = metadata.ours().next().expect("one is ours");
        assert_eq!(metadata.needs(a).into_iter().collect::<Vec<_>>(), ["b", "c"]);
    }
}
