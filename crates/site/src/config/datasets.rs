//! `datasets`: named sources of data, who may read them, and what is told of them.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use base::{DatasetName, Label, Namespace};
use gateway::OutRequest;
use serde::Deserialize;
use serde_saphyr::Spanned;
use wire::link::{DATASET_LABELS_MAX, DATASETS_TOLD_MAX};
use worker::datasets::{
    CsvForm, DATASETS_MAX, Dataset, Datasets, Format, Place, Readers, RowSchema, Source,
};

use super::{ConfigError, Reader};

/// A name or a ward; who writes more writes it elsewhere.
const OWNER_CHARS_MAX: usize = 200;

/// As many columns as a row has fields.
const COLUMNS_MAX: usize = 4_096;

/// Lines before the header of a file that somebody exported.
const SKIP_MAX: u32 = 1_000_000;

/// What stands for every namespace, as in the roles of keys.
const EVERY: &str = wire::EVERYWHERE;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DatasetFile {
    name: Spanned<String>,
    path: Option<Spanned<String>>,
    url: Option<Spanned<String>>,
    format: Option<Spanned<String>>,
    #[serde(default)]
    labels: Vec<Spanned<String>>,
    owner: Option<Spanned<String>>,
    namespaces: Option<Vec<Spanned<String>>>,
    schema: Option<Spanned<serde_json::Value>>,
    csv: Option<Spanned<CsvFile>>,
    tell: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CsvFile {
    delimiter: Option<Spanned<String>>,
    skip: Option<Spanned<u32>>,
    header: Option<Vec<Spanned<String>>>,
}

impl Reader<'_> {
    pub(super) fn datasets(
        &self,
        entries: &[Spanned<DatasetFile>],
    ) -> Result<Datasets, ConfigError> {
        if let Some(one) = entries.get(DATASETS_MAX) {
            return Err(self.wrong(one, format!("at most {DATASETS_MAX} datasets")));
        }
        let read: Vec<Dataset> =
            entries.iter().map(|entry| self.dataset(entry)).collect::<Result<_, _>>()?;
        let mut told = read.iter().zip(entries).filter(|(dataset, _)| dataset.is_told);
        if let Some((_, one)) = told.nth(DATASETS_TOLD_MAX) {
            let what =
                format!("a hub is told of at most {DATASETS_TOLD_MAX} datasets; add `tell: false`");
            return Err(self.wrong(one, what));
        }
        Datasets::new(read).map_err(|twice| {
            let mut named = entries.iter().filter(|it| it.value.name.value == twice.as_str());
            let what = format!("another dataset is called `{twice}`; give each a name of its own");
            match named.nth(1) {
                Some(entry) => self.wrong(&entry.value.name, what),
                None => self.at(1, 1, what),
            }
        })
    }

    fn dataset(&self, entry: &Spanned<DatasetFile>) -> Result<Dataset, ConfigError> {
        let DatasetFile { name, labels, owner, namespaces, schema, csv, tell, .. } = &entry.value;
        let source = self.source(entry)?;
        let format = self.format(entry, &source)?;
        let labels = self.labels(labels)?;
        if let Some(owner) = owner {
            let is_plain = !owner.value.is_empty() && !owner.value.chars().any(char::is_control);
            if !is_plain || owner.value.chars().count() > OWNER_CHARS_MAX {
                let what = format!("write 1 to {OWNER_CHARS_MAX} printable characters");
                return Err(self.wrong(owner, what));
            }
        }
        let schema = schema.as_ref().map(|schema| {
            RowSchema::compile(&base::value::from_serde(&schema.value))
                .map_err(|what| self.wrong(schema, format!("not a JSON Schema of a row: {what}")))
        });
        Ok(Dataset {
            name: DatasetName::parse(&name.value).map_err(|what| self.wrong(name, what))?,
            source,
            format: self.with_csv(format, csv.as_ref())?,
            readers: self.readers(entry, namespaces.as_deref(), &labels)?,
            labels,
            owner: owner.as_ref().map(|it| it.value.clone()),
            row: schema.transpose()?,
            is_told: tell.unwrap_or(true),
        })
    }

    fn source(&self, entry: &Spanned<DatasetFile>) -> Result<Source, ConfigError> {
        match (&entry.value.path, &entry.value.url) {
            (Some(path), None) => self.place(path).map(Source::File),
            (None, Some(url)) => match OutRequest::new("GET", &url.value, &[]) {
                Ok(_) => Ok(Source::Url(url.value.clone())),
                Err(what) => Err(self.wrong(url, what)),
            },
            _ => Err(self.wrong(entry, "a dataset has exactly one of `path` and `url`")),
        }
    }

    /// Below the folder of the configuration, or wherever an absolute path says.
    fn place(&self, found: &Spanned<String>) -> Result<Place, ConfigError> {
        let is_said = |part: &Component<'_>| *part != Component::CurDir;
        let path: PathBuf = Path::new(&found.value).components().filter(is_said).collect();
        if path.components().any(|part| part == Component::ParentDir) {
            let what = "a path without `..`: below the folder of this file, or absolute";
            return Err(self.wrong(found, what));
        }
        let place = match path.is_absolute() {
            true => Place::of_absolute(&path),
            false => Some(Place { folder: self.folder.to_owned(), rest: path.clone() }),
        };
        let place = place.filter(|place| place.rest.file_name().is_some());
        place.ok_or_else(|| self.wrong(found, "write the path of a file"))
    }

    fn format(&self, entry: &Spanned<DatasetFile>, source: &Source) -> Result<Format, ConfigError> {
        let names = Format::NAMES.join("`, `");
        if let Some(said) = &entry.value.format {
            let format = Format::parse(&said.value).filter(|it| it.name() == said.value);
            return format.ok_or_else(|| self.wrong(said, format!("write one of `{names}`")));
        }
        let ending = match source {
            Source::File(place) => place.rest.to_str(),
            Source::Url(url) => url.split(['?', '#']).next(),
        };
        let ending = ending.and_then(|path| path.rsplit_once('.')).map(|(_, ending)| ending);
        ending.and_then(|it| Format::parse(&it.to_ascii_lowercase())).ok_or_else(|| {
            let what =
                format!("its ending does not say what it is; add `format`, one of `{names}`");
            self.wrong(entry, what)
        })
    }

    fn with_csv(
        &self,
        format: Format,
        csv: Option<&Spanned<CsvFile>>,
    ) -> Result<Format, ConfigError> {
        let Some(csv) = csv else { return Ok(format) };
        if !matches!(format, Format::Csv(_)) {
            let what = format!("`csv` is for the format `csv`, and this is `{}`", format.name());
            return Err(self.wrong(csv, what));
        }
        let mut form = CsvForm::default();
        let CsvFile { delimiter, skip, header } = &csv.value;
        if let Some(said) = delimiter {
            form.delimiter = match said.value.as_bytes() {
                [one @ (b'\t' | b' '..=b'~')] if *one != b'"' => *one,
                _ => return Err(self.wrong(said, "write one ASCII character that is no quote")),
            };
        }
        form.skip = self.number(skip.as_ref(), 0..=SKIP_MAX, 0)? as u64;
        if let Some(names) = header {
            form.header = Some(self.header(csv, names)?);
        }
        Ok(Format::Csv(form))
    }

    fn header(
        &self,
        csv: &Spanned<CsvFile>,
        names: &[Spanned<String>],
    ) -> Result<Vec<String>, ConfigError> {
        if !(1..=COLUMNS_MAX).contains(&names.len()) {
            return Err(self.wrong(csv, format!("`header` has 1 to {COLUMNS_MAX} names")));
        }
        let mut seen = BTreeSet::new();
        for name in names {
            if name.value.is_empty() || !seen.insert(&name.value) {
                return Err(self.wrong(name, "each column has a name of its own"));
            }
        }
        Ok(names.iter().map(|name| name.value.clone()).collect())
    }

    fn labels(&self, found: &[Spanned<String>]) -> Result<Vec<Label>, ConfigError> {
        if let Some(one) = found.get(DATASET_LABELS_MAX) {
            return Err(self.wrong(one, format!("at most {DATASET_LABELS_MAX} labels")));
        }
        let labels = found
            .iter()
            .map(|it| Label::parse(&it.value).map_err(|what| self.wrong(it, what)))
            .collect::<Result<BTreeSet<_>, _>>()?;
        Ok(labels.into_iter().collect())
    }

    /// What has no label is for everybody; what has one is for those who are named.
    fn readers(
        &self,
        entry: &Spanned<DatasetFile>,
        namespaces: Option<&[Spanned<String>]>,
        labels: &[Label],
    ) -> Result<Readers, ConfigError> {
        let Some(namespaces) = namespaces else {
            if labels.is_empty() {
                return Ok(Readers::All);
            }
            let what = format!(
                "a dataset with labels says which namespaces may read it: add `namespaces: [default]`, or `['{EVERY}']` for all"
            );
            return Err(self.wrong(entry, what));
        };
        if let [only] = namespaces
            && only.value == EVERY
        {
            return Ok(Readers::All);
        }
        let named = namespaces
            .iter()
            .map(|it| Namespace::parse(&it.value).map_err(|what| self.wrong(it, what)));
        Ok(Readers::These(named.collect::<Result<_, _>>()?))
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    use super::*;

    fn datasets(text: &str) -> Result<Vec<Dataset>, String> {
        let text = format!("spec:\n  datasets:\n{text}");
        let config = Config::parse(&text, "site.yaml", Path::new("/etc/isonomy"));
        let datasets = config.map_err(|error| error.to_string())?.datasets;
        Ok(datasets.all().map(|it| Dataset::clone(it)).collect())
    }

    fn file(folder: &str, rest: &str) -> Source {
        Source::File(Place { folder: folder.into(), rest: rest.into() })
    }

    /// Mutation: lose a field, take a path relative to the process's folder, or let everybody read what
    /// has a label.
    #[test]
    fn a_source_is_declared_with_its_form_and_its_readers() {
        let read = datasets(
            "    - {name: a, path: ./data/a.csv}\n    - {name: b, path: /srv/data/b.ndjson, labels: [health, eu, health], namespaces: [lab]}\n    \
             - {name: c, url: 'https://h.example/x.JSON?v=1', owner: ward 3, tell: false, namespaces: ['*'], labels: [health]}\n    \
             - name: d\n      path: d.txt\n      format: csv\n      csv: {delimiter: ';', skip: 2, header: [x, y]}\n      \
             schema: {type: object, properties: {x: {type: integer}}}\n      namespaces: []\n",
        )
        .expect("good entries");
        assert_eq!(read[0].source, file("/etc/isonomy", "data/a.csv"));
        assert_eq!(
            (&read[0].format, &read[0].readers),
            (&Format::Csv(CsvForm::default()), &Readers::All)
        );
        assert!(read[0].is_told && read[0].row.is_none());
        assert_eq!(
            (&read[1].source, &read[1].format),
            (&file("/srv/data", "b.ndjson"), &Format::Jsonl)
        );
        let labels: Vec<&str> = read[1].labels.iter().map(Label::as_str).collect();
        assert_eq!(labels, ["eu", "health"]);
        let lab = Namespace::parse("lab").expect("a name");
        assert_eq!(read[1].readers, Readers::These([lab].into()));
        assert_eq!(read[2].source, Source::Url("https://h.example/x.JSON?v=1".to_owned()));
        assert_eq!(
            (&read[2].format, &read[2].readers, read[2].is_told),
            (&Format::Json, &Readers::All, false)
        );
        assert_eq!(read[2].owner.as_deref(), Some("ward 3"));
        let header = Some(vec!["x".to_owned(), "y".to_owned()]);
        assert_eq!(read[3].format, Format::Csv(CsvForm { delimiter: b';', skip: 2, header }));
        assert!(read[3].row.is_some());
        // Nobody is somebody, too.
        assert_eq!(read[3].readers, Readers::These(BTreeSet::new()));
    }

    /// Mutation: skip a check, or lose the place.
    #[test]
    fn a_mistake_is_named_with_its_place_and_the_way_out() {
        let many = |count: usize| -> String {
            (0..count).map(|n| format!("    - {{name: d{n}, path: d.csv}}\n")).collect()
        };
        for (text, expected) in [
            ("    - {name: a b, path: x.csv}", "3:14: `a b` is not a valid dataset name"),
            ("    - {name: a}", "3:7: a dataset has exactly one of `path` and `url`"),
            (
                "    - {name: a, path: x.csv, url: 'https://h/x.csv'}",
                "3:7: a dataset has exactly one",
            ),
            ("    - {name: a, path: ../x.csv}", "3:23: a path without `..`"),
            ("    - {name: a, path: /x/../y.csv}", "3:23: a path without `..`"),
            ("    - {name: a, path: /}", "3:23: write the path of a file"),
            ("    - {name: a, path: .}", "3:23: write the path of a file"),
            ("    - {name: a, url: 'ftp://h/x.csv'}", "3:22: cannot make the request"),
            (
                "    - {name: a, url: 'https://u:p@h/x.csv'}",
                "3:22: cannot make the request: the address holds credentials",
            ),
            (
                "    - {name: a, path: x.txt}",
                "3:7: its ending does not say what it is; add `format`",
            ),
            ("    - {name: a, path: data.d/x}", "3:7: its ending does not say what it is"),
            (
                "    - {name: a, path: x, format: xml}",
                "3:34: write one of `csv`, `jsonl`, `json`, `parquet`",
            ),
            (
                "    - {name: a, path: x.csv, labels: [health]}",
                "3:7: a dataset with labels says which namespaces may read it",
            ),
            ("    - {name: a, path: x.csv, labels: ['a b']}", "3:39: `a b` is not a valid label"),
            ("    - {name: a, path: x.csv, labels: [a,b,c,d,e,f,g,h,i]}", "3:55: at most 8 labels"),
            ("    - {name: a, path: x.csv, owner: ''}", "3:37: write 1 to 200 printable"),
            (
                "    - {name: a, path: x.csv, namespaces: [a_b]}",
                "3:43: `a_b` is not a valid namespace",
            ),
            ("    - {name: a, path: x.csv, schema: {type: 7}}", "3:38: not a JSON Schema of a row"),
            (
                "    - {name: a, path: x.json, csv: {skip: 1}}",
                "3:36: `csv` is for the format `csv`",
            ),
            ("    - {name: a, path: x.csv, csv: {delimiter: ab}}", "3:47: write one ASCII"),
            ("    - {name: a, path: x.csv, csv: {delimiter: '\"'}}", "3:47: write one ASCII"),
            ("    - {name: a, path: x.csv, csv: {header: [a, a]}}", "3:48: each column"),
            ("    - {name: a, path: x.csv, csv: {header: []}}", "3:35: `header` has 1 to"),
            ("    - {name: a, path: x.csv, pat: y}", "3:30: unknown field `pat`"),
            (
                "    - {name: a, path: x.csv}\n    - {name: a, path: y.csv}",
                "4:14: another dataset is called `a`",
            ),
            (&many(65), "67:7: a hub is told of at most 64 datasets; add `tell: false`"),
            (&many(257), "259:7: at most 256 datasets"),
        ] {
            let error = datasets(text).expect_err(text);
            assert!(error.starts_with(&format!("site.yaml:{expected}")), "{text}\n  gives {error}");
            assert_eq!(error.lines().count(), 1, "{error}");
        }
    }
}
