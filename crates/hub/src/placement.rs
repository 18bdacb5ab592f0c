//! Placements: which sites get which workflows of a namespace.

use std::collections::BTreeMap;

use base::{Namespace, SiteName, Timestamp, WorkflowName, document, tags_wrong};
use serde::{Deserialize, Serialize};
use server::Refusal;
use spec::YamlWrong;
use store::{ResourceKind, ResourceRow};
use wire::{Finding, PlacementSites, PlacementView, ProblemCode};

use crate::site::SiteDoc;

/// Workflows of one placement, and sites by name: nobody reads a longer list.
const LIST_MAX: usize = 1_000;

/// What is wrong with a text that shall be one.
const WRONG: &str = "PLC-001";

/// What each of them has, which is short enough to be said whole.
const FORM: &str = "a placement has `apiVersion: isonomy.dev/v1`, `kind: Placement`, `metadata: {namespace: …, name: …}` and `spec: {workflows: […], sites: …}` with `where: {key: value}`, `names: […]` or `all: true`";

const API_VERSION: &str = "isonomy.dev/v1";
const KIND: &str = "Placement";

const PLACEMENT_TYPE: &str = "isonomy.placement";
const PLACEMENT_VERSION: u32 = 1;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Placement {
    pub namespace: Namespace,
    pub name: WorkflowName,
    pub workflows: Vec<WorkflowName>,
    pub sites: Sites,
    pub updated_at: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Sites {
    All,
    Where(BTreeMap<String, String>),
    Names(Vec<SiteName>),
}

#[derive(Serialize, Deserialize)]
struct Doc {
    namespace: Namespace,
    name: WorkflowName,
    workflows: Vec<WorkflowName>,
    sites: Sites,
    updated_at: Timestamp,
}

/// As people write it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct File {
    api_version: String,
    #[serde(rename = "kind")]
    _kind: String,
    metadata: Metadata,
    spec: Spec,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Metadata {
    namespace: Namespace,
    name: WorkflowName,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Spec {
    workflows: Vec<WorkflowName>,
    sites: PlacementSites,
}

impl Sites {
    pub(crate) fn contain(&self, site: &SiteName, doc: &SiteDoc) -> bool {
        match self {
            Self::All => true,
            Self::Where(tags) => tags.iter().all(|(key, value)| doc.tags.get(key) == Some(value)),
            Self::Names(names) => names.contains(site),
        }
    }

    /// Those that are meant by name.
    pub(crate) fn names(&self) -> &[SiteName] {
        match self {
            Self::Names(names) => names,
            Self::All | Self::Where(_) => &[],
        }
    }

    pub(crate) fn read(sites: PlacementSites) -> Result<Self, String> {
        let PlacementSites { all, tags, names } = sites;
        match (all, tags.is_empty(), names.is_empty()) {
            (true, true, true) => Ok(Self::All),
            (false, false, true) => match tags_wrong(&tags) {
                Some(wrong) => Err(format!("`sites.where`: {wrong}")),
                None => Ok(Self::Where(tags)),
            },
            (false, true, false) if names.len() <= LIST_MAX => {
                let names = names.iter().map(|name| SiteName::parse(name));
                let mut names: Vec<_> =
                    names.collect::<Result<_, _>>().map_err(|wrong| wrong.to_string())?;
                names.sort();
                names.dedup();
                Ok(Self::Names(names))
            }
            (false, true, false) => Err(format!("`sites.names` has more than {LIST_MAX}")),
            _ => Err("`sites` has one of `all: true`, `where` and `names`".to_owned()),
        }
    }

    pub(crate) fn view(&self) -> PlacementSites {
        let none = PlacementSites::default();
        match self {
            Self::All => PlacementSites { all: true, ..none },
            Self::Where(tags) => PlacementSites { tags: tags.clone(), ..none },
            Self::Names(names) => {
                PlacementSites { names: names.iter().map(ToString::to_string).collect(), ..none }
            }
        }
    }
}

impl Placement {
    /// Whether a text shall be one, right or wrong.
    pub(crate) fn is_meant(text: &str) -> bool {
        #[derive(Deserialize)]
        struct Outer {
            kind: Option<String>,
        }
        serde_saphyr::from_str(text).is_ok_and(|Outer { kind }| kind.as_deref() == Some(KIND))
    }

    pub(crate) fn parse(text: &str, source: &str, now: Timestamp) -> Result<Self, Box<Finding>> {
        let found = |line, column, message: String| {
            Box::new(Finding {
                code: WRONG.to_owned(),
                severity: "error".to_owned(),
                rendered: Some(format!(
                    "error[{WRONG}]: {message}\n  --> {source}:{line}:{column}\nhint: {FORM}\n"
                )),
                message,
                line,
                column,
                pointer: String::new(),
                source: Some(source.to_owned()),
                hint: Some(FORM.to_owned()),
            })
        };
        let file: File = serde_saphyr::from_str(text).map_err(|wrong| {
            let YamlWrong { line, column, what } = (&wrong).into();
            found(line, column, what)
        })?;
        let File { api_version, metadata, spec, .. } = file;
        if api_version != API_VERSION {
            return Err(found(1, 1, format!("`apiVersion` is `{API_VERSION}`")));
        }
        let Spec { mut workflows, sites } = spec;
        if workflows.is_empty() || workflows.len() > LIST_MAX {
            return Err(found(1, 1, format!("`workflows` names 1 to {LIST_MAX}")));
        }
        workflows.sort();
        workflows.dedup();
        let sites = Sites::read(sites).map_err(|what| found(1, 1, what))?;
        let Metadata { namespace, name } = metadata;
        Ok(Self { namespace, name, workflows, sites, updated_at: now })
    }

    /// Whether it says the same, whenever it was put.
    pub(crate) fn says_the_same(&self, other: &Self) -> bool {
        self.workflows == other.workflows && self.sites == other.sites
    }

    pub(crate) fn row_name(namespace: &Namespace, name: &WorkflowName) -> String {
        format!("{namespace}/{name}")
    }

    pub(crate) fn row(&self) -> ResourceRow {
        let Self { namespace, name, workflows, sites, updated_at } = self.clone();
        let row_name = Self::row_name(&namespace, &name);
        let doc = Doc { namespace, name, workflows, sites, updated_at };
        let record = document::write(PLACEMENT_TYPE, PLACEMENT_VERSION, &doc).into();
        ResourceRow { kind: ResourceKind::Placement, name: row_name, record }
    }

    pub(crate) fn read(row: &ResourceRow) -> Result<Self, Refusal> {
        let doc = document::read(&row.record, PLACEMENT_TYPE, PLACEMENT_VERSION);
        let Doc { namespace, name, workflows, sites, updated_at } = doc.map_err(|_| {
            let detail = format!("the placement `{}` is damaged, or of a newer version", row.name);
            Refusal::new(ProblemCode::StoreFailed, detail)
        })?;
        Ok(Self { namespace, name, workflows, sites, updated_at })
    }

    pub(crate) fn view(&self) -> PlacementView {
        PlacementView {
            namespace: self.namespace.to_string(),
            name: self.name.to_string(),
            workflows: self.workflows.iter().map(ToString::to_string).collect(),
            sites: self.sites.view(),
            updated_at: self.updated_at.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "apiVersion: isonomy.dev/v1\nkind: Placement\nmetadata: {namespace: lab, name: eu}\nspec:\n  workflows: [b, a, b]\n  sites:\n    where: {region: eu, role: clinic}\n";

    fn parse(text: &str) -> Result<Placement, Box<Finding>> {
        Placement::parse(text, "eu.yaml", Timestamp::from_millis(0))
    }

    /// Mutation: take any of two, one that names no site, or what nobody has asked for.
    #[test]
    fn a_placement_says_which_sites_get_what() {
        let good = parse(GOOD).expect("good");
        assert_eq!(Placement::read(&good.row()), Ok(good.clone()));
        assert_eq!(good.view().workflows, ["a", "b"]);
        let sites = "    where: {region: eu, role: clinic}\n";
        for (from, to) in [
            (sites, "    {}\n"),
            (sites, "    {all: true, names: [a]}\n"),
            (sites, "    {names: ['a b']}\n"),
            (sites, "    {all: true}\n  more: 1\n"),
            ("isonomy.dev/v1", "isonomy.dev/v2"),
            ("[b, a, b]", "[]"),
            ("name: eu", "name: 'e u'"),
        ] {
            let wrong = parse(&GOOD.replace(from, to)).expect_err(to);
            assert_eq!(wrong.code, WRONG, "{wrong:?}");
        }
        assert_eq!(parse("kind: Placement\nspec: [").expect_err("broken").line, 2);
        let named = parse(&GOOD.replace("metadata: {", "metadata: {nome: x, ")).expect_err("named");
        assert!(named.message.starts_with("unknown field `nome`"), "{}", named.message);
        assert_eq!((named.line, named.column), (3, 12));
        assert!(Placement::is_meant(GOOD) && !Placement::is_meant("document: {}"));
    }

    /// Mutation: take a site with some of the tags.
    #[test]
    fn a_site_is_meant_by_all_of_its_tags() {
        let site = SiteName::parse("clinic-1").expect("a name");
        let tags = |tags: &[(&str, &str)]| SiteDoc {
            tags: tags.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect(),
            ..SiteDoc::default()
        };
        let eu = parse(GOOD).expect("good").sites;
        assert!(eu.contain(&site, &tags(&[("region", "eu"), ("role", "clinic"), ("x", "y")])));
        assert!(!eu.contain(&site, &tags(&[("region", "eu")])));
        assert!(Sites::Names(vec![site.clone()]).contain(&site, &tags(&[])));
        assert!(!Sites::Names(Vec::new()).contain(&site, &tags(&[])));
    }
}
