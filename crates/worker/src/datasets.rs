//! The sources of data that the site's owner has declared, and who may read each.
//!
//! Reading them is in `functions::dataset`. A workflow knows a name: where the data lies, and how, is
//! the owner's business and may change.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base::value::{as_array, as_object, as_str, get};
use base::{DatasetName, Label, Namespace, Timestamp, Value};
use spec::schema::Schema;

use crate::folders::{Closed, open_below};

/// Sources that a site declares. They are described by hand, and looked at one by one.
pub const DATASETS_MAX: usize = 256;

/// All of them, by name. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Datasets(Arc<BTreeMap<DatasetName, Arc<Dataset>>>);

/// One of them.
#[derive(Debug, Clone)]
pub struct Dataset {
    pub name: DatasetName,
    pub source: Source,
    pub format: Format,
    pub labels: Vec<Label>,
    /// Who answers for it, in the owner's words.
    pub owner: Option<String>,
    pub readers: Readers,
    /// What a row has to be.
    pub row: Option<RowSchema>,
    /// Whether a hub is told of it.
    pub is_told: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    File(Place),
    /// Asked through the gate each time that it is read.
    Url(String),
}

/// A file, and the folder that nothing of its path leads out of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub folder: PathBuf,
    pub rest: PathBuf,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Format {
    Csv(CsvForm),
    /// An object on each line.
    Jsonl,
    /// One array of objects.
    Json,
    Parquet,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CsvForm {
    pub delimiter: u8,
    /// Lines to leave out at the beginning, before the header.
    pub skip: u64,
    /// Nothing where the first line names the columns.
    pub header: Option<Vec<String>>,
}

/// Whose runs may read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Readers {
    All,
    These(BTreeSet<Namespace>),
}

/// The JSON Schema of a row, and what it says of the types of columns.
#[derive(Debug, Clone)]
pub struct RowSchema {
    schema: Schema,
    columns: Arc<BTreeMap<String, Kinds>>,
    /// Of columns that are not named.
    others: Kinds,
}

/// What a field that is text may become.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Kinds {
    pub(crate) integer: bool,
    pub(crate) number: bool,
    pub(crate) boolean: bool,
    pub(crate) null: bool,
}

/// How a source is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Look {
    /// It is there.
    There { modified_at: Option<Timestamp>, bytes: u64 },
    /// It is not, or cannot be read: why, without its path.
    Not { why: String },
    /// Behind an address, which is asked only when somebody reads it.
    Elsewhere,
}

impl Datasets {
    /// Names the one that stands there twice.
    pub fn new(list: Vec<Dataset>) -> Result<Self, DatasetName> {
        let mut named = BTreeMap::new();
        for dataset in list {
            let name = dataset.name.clone();
            if named.insert(name.clone(), Arc::new(dataset)).is_some() {
                return Err(name);
            }
        }
        Ok(Self(Arc::new(named)))
    }

    /// Those that a namespace may read, by name.
    pub fn of<'a>(&'a self, namespace: &'a Namespace) -> impl Iterator<Item = &'a Arc<Dataset>> {
        self.all().filter(|it| it.readers.contain(namespace))
    }

    pub fn all(&self) -> impl Iterator<Item = &Arc<Dataset>> {
        self.0.values()
    }

    /// One that the namespace may read. What it may not read is not there.
    pub(crate) fn find(&self, namespace: &Namespace, name: &str) -> Option<Arc<Dataset>> {
        let dataset = self.0.get(&DatasetName::parse(name).ok()?)?;
        dataset.readers.contain(namespace).then(|| Arc::clone(dataset))
    }
}

impl Dataset {
    /// Blocks.
    #[must_use]
    pub fn look(&self) -> Look {
        let Source::File(place) = &self.source else { return Look::Elsewhere };
        let looked = place.open().and_then(|file| Ok(file.metadata()?));
        match looked {
            Ok(found) => {
                let modified_at = found.modified().ok().and_then(timestamp);
                Look::There { modified_at, bytes: found.len() }
            }
            Err(closed) => Look::Not { why: closed_because(closed) },
        }
    }
}

impl Place {
    pub(crate) fn open(&self) -> Result<File, Closed> {
        open_below(&self.folder, &self.rest)
    }

    /// A file that is named by an absolute path: it is in its folder, and not where a link there leads.
    #[must_use]
    pub fn of_absolute(path: &Path) -> Option<Self> {
        Some(Self { folder: path.parent()?.to_owned(), rest: path.file_name()?.into() })
    }
}

/// Why it is not opened: for people, and without the path, which is the owner's.
pub(crate) fn closed_because(closed: Closed) -> String {
    match closed {
        Closed::Missing => "there is no such file".to_owned(),
        Closed::NotAFile => "it is not a file".to_owned(),
        Closed::LeadsOut => {
            "a link leads out of its folder; declare the path that the link leads to".to_owned()
        }
        Closed::Unreadable(why) => format!("it cannot be opened: {why}"),
    }
}

pub(crate) fn timestamp(at: std::time::SystemTime) -> Option<Timestamp> {
    let since = at.duration_since(std::time::UNIX_EPOCH).ok()?;
    i64::try_from(since.as_millis()).ok().map(Timestamp::from_millis)
}

impl Readers {
    #[must_use]
    pub fn contain(&self, namespace: &Namespace) -> bool {
        match self {
            Self::All => true,
            Self::These(these) => these.contains(namespace),
        }
    }
}

impl Format {
    pub const NAMES: [&'static str; 4] = ["csv", "jsonl", "json", "parquet"];

    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Csv(_) => "csv",
            Self::Jsonl => "jsonl",
            Self::Json => "json",
            Self::Parquet => "parquet",
        }
    }

    /// By its name, or by what the name of a file ends with.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "csv" => Self::Csv(CsvForm::default()),
            "jsonl" | "ndjson" => Self::Jsonl,
            "json" => Self::Json,
            "parquet" => Self::Parquet,
            _ => return None,
        })
    }
}

impl Default for CsvForm {
    fn default() -> Self {
        Self { delimiter: b',', skip: 0, header: None }
    }
}

impl RowSchema {
    pub fn compile(schema: &Value) -> Result<Self, String> {
        let kinds = |of: &Value| get(of, "type").map(Kinds::of).unwrap_or_default();
        let properties = get(schema, "properties").and_then(as_object);
        let column =
            |(name, property): (&Value, &Value)| Some((as_str(name)?.to_owned(), kinds(property)));
        let columns = properties.into_iter().flat_map(|all| all.iter()).filter_map(column);
        let columns = Arc::new(columns.collect());
        let others = get(schema, "additionalProperties").map(kinds).unwrap_or_default();
        Ok(Self { schema: Schema::compile(schema)?, columns, others })
    }

    pub(crate) fn admits(&self, row: &Value) -> bool {
        self.schema.admits(row)
    }

    pub(crate) fn kinds(&self, column: &str) -> Kinds {
        self.columns.get(column).copied().unwrap_or(self.others)
    }
}

impl Kinds {
    fn of(said: &Value) -> Self {
        let one = std::slice::from_ref(said);
        let mut kinds = Self::default();
        for name in as_array(said).unwrap_or(one).iter().filter_map(as_str) {
            match name {
                "integer" => kinds.integer = true,
                "number" => kinds.number = true,
                "boolean" => kinds.boolean = true,
                "null" => kinds.null = true,
                _ => {}
            }
        }
        kinds
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dataset(name: &str, readers: Readers, source: Source) -> Dataset {
        Dataset {
            name: DatasetName::parse(name).expect("a name"),
            source,
            format: Format::Jsonl,
            labels: Vec::new(),
            owner: None,
            readers,
            row: None,
            is_told: true,
        }
    }

    fn place(folder: &Path, rest: &str) -> Source {
        Source::File(Place { folder: folder.to_owned(), rest: rest.into() })
    }

    /// Mutation: find one for whoever asks, or take two of one name.
    #[test]
    fn a_namespace_finds_what_it_may_read_and_no_more() {
        let lab = Namespace::parse("lab").expect("a name");
        let ward = Namespace::parse("ward").expect("a name");
        let only = Readers::These([lab.clone()].into());
        let nowhere = || Source::Url("https://h/x".to_owned());
        let list = vec![
            dataset("shared", Readers::All, nowhere()),
            dataset("patients", only.clone(), nowhere()),
        ];
        let all = Datasets::new(list.clone()).expect("two names");
        let names = |of: &Namespace| all.of(of).map(|it| it.name.to_string()).collect::<Vec<_>>();
        assert_eq!(names(&lab), ["patients", "shared"]);
        assert_eq!(names(&ward), ["shared"]);
        assert!(all.find(&lab, "patients").is_some() && all.find(&ward, "patients").is_none());
        assert!(all.find(&ward, "shared").is_some() && all.find(&lab, "no name").is_none());
        let twice = [list, vec![dataset("shared", only, nowhere())]].concat();
        assert_eq!(Datasets::new(twice).expect_err("twice").as_str(), "shared");
    }

    /// Mutation: follow a link out of the folder, or say the path.
    #[cfg(unix)]
    #[test]
    fn a_look_says_how_old_a_file_is_or_why_there_is_none() {
        let dir = tempfile::tempdir().expect("a folder");
        let data = dir.path().join("data");
        std::fs::create_dir(&data).expect("a folder");
        std::fs::write(data.join("a.jsonl"), "{}\n").expect("written");
        std::fs::write(dir.path().join("beside.jsonl"), "{}\n").expect("written");
        std::os::unix::fs::symlink("../beside.jsonl", data.join("out.jsonl")).expect("a link");
        let at = std::time::UNIX_EPOCH + std::time::Duration::from_millis(1_800_000_000_123);
        let file = File::options().append(true).open(data.join("a.jsonl")).expect("there");
        file.set_modified(at).expect("set");
        let look = |source| dataset("a", Readers::All, source).look();
        let there =
            Look::There { modified_at: Some(Timestamp::from_millis(1_800_000_000_123)), bytes: 3 };
        assert_eq!(look(place(&data, "a.jsonl")), there);
        for (rest, part) in
            [("b.jsonl", "no such file"), ("out.jsonl", "leads out"), ("", "not a file")]
        {
            let Look::Not { why } = look(place(&data, rest)) else { panic!("{rest} is there") };
            assert!(why.contains(part) && !why.contains("data"), "{why}");
        }
        assert_eq!(look(Source::Url("https://h/x".to_owned())), Look::Elsewhere);
    }
}
