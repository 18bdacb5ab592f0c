//! GGUF: the head of a file, and where its tensors lie.
//!
//! The file is hostile. Every length is checked against what is there, lists lie in no lists, and all that is
//! kept is borrowed or bounded. What the numbers mean is not looked at here.

use std::collections::BTreeMap;

use crate::model::LoadError;

pub const MAGIC: [u8; 4] = *b"GGUF";

/// Tensors of one file. A model of 70 billion numbers has 723.
pub const TENSORS_MAX: u64 = 10_000;

/// What is written in the head by name. Files have some forty.
pub const ENTRIES_MAX: u64 = 10_000;

/// Items of all lists in the head together. The widest vocabularies have 262,144 tokens, in three lists, and
/// as many merges.
pub const ITEMS_MAX: u64 = 2_000_000;

/// A text of the head. The longest is a template of conversations.
const TEXT_BYTES_MAX: u64 = 1024 * 1024;

/// Axes of a tensor, as ggml has them.
const AXES_MAX: u32 = 4;

/// Between tensors. Files have 32.
const ALIGNMENT_MAX: u64 = 65_536;

/// What is written in the head.
#[derive(Debug, Clone, PartialEq)]
pub enum Value<'f> {
    Whole(i128),
    Real(f64),
    Bool(bool),
    Text(&'f str),
    List(Vec<Value<'f>>),
}

/// How numbers are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    F32,
    F16,
    Bf16,
    Q4_0,
    Q4_1,
    Q5_0,
    Q5_1,
    Q8_0,
    Q2K,
    Q3K,
    Q4K,
    Q5K,
    Q6K,
}

/// Numbers of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block<'f> {
    pub kind: Kind,
    /// The slowest axis first, as in other formats.
    pub shape: Vec<usize>,
    pub bytes: &'f [u8],
}

/// A file whose head is read.
#[derive(Debug, Clone, Default)]
pub struct Gguf<'f> {
    entries: BTreeMap<&'f str, Value<'f>>,
    pub tensors: BTreeMap<&'f str, Block<'f>>,
}

impl Kind {
    const ALL: [(u32, Self); 13] = [
        (0, Self::F32),
        (1, Self::F16),
        (2, Self::Q4_0),
        (3, Self::Q4_1),
        (6, Self::Q5_0),
        (7, Self::Q5_1),
        (8, Self::Q8_0),
        (10, Self::Q2K),
        (11, Self::Q3K),
        (12, Self::Q4K),
        (13, Self::Q5K),
        (14, Self::Q6K),
        (30, Self::Bf16),
    ];

    fn of(number: u32) -> Result<Self, LoadError> {
        let found = Self::ALL.into_iter().find(|(it, _)| *it == number);
        found.map(|(_, kind)| kind).ok_or_else(|| {
            wrong(format!(
                "its numbers are written as type {number} of ggml, which is not supported; take a file of Q8_0, Q4_K_M or F16"
            ))
        })
    }

    /// Numbers in one block, and its bytes.
    const fn block(self) -> (u64, u64) {
        match self {
            Self::F32 => (1, 4),
            Self::F16 | Self::Bf16 => (1, 2),
            Self::Q4_0 => (32, 18),
            Self::Q4_1 => (32, 20),
            Self::Q5_0 => (32, 22),
            Self::Q5_1 => (32, 24),
            Self::Q8_0 => (32, 34),
            Self::Q2K => (256, 84),
            Self::Q3K => (256, 110),
            Self::Q4K => (256, 144),
            Self::Q5K => (256, 176),
            Self::Q6K => (256, 210),
        }
    }

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::Bf16 => "BF16",
            Self::Q4_0 => "Q4_0",
            Self::Q4_1 => "Q4_1",
            Self::Q5_0 => "Q5_0",
            Self::Q5_1 => "Q5_1",
            Self::Q8_0 => "Q8_0",
            Self::Q2K => "Q2_K",
            Self::Q3K => "Q3_K",
            Self::Q4K => "Q4_K",
            Self::Q5K => "Q5_K",
            Self::Q6K => "Q6_K",
        }
    }
}

impl<'f> Gguf<'f> {
    pub fn read(file: &'f [u8]) -> Result<Self, LoadError> {
        let mut head = Head { rest: file, items: 0 };
        if head.array()? != MAGIC {
            return Err(wrong("it does not begin with `GGUF`"));
        }
        let version = head.u32()?;
        if !matches!(version, 2 | 3) {
            return Err(wrong(format!("it is of version {version}, and 2 and 3 are known")));
        }
        let (tensors, entries) = (head.u64()?, head.u64()?);
        if tensors > TENSORS_MAX {
            return Err(LoadError::TooMany { what: "tensors" });
        }
        if entries > ENTRIES_MAX {
            return Err(LoadError::TooMany { what: "entries in its head" });
        }
        let mut read = Self::default();
        for _ in 0..entries {
            let name = head.text()?;
            let kind = head.u32()?;
            let value = head.value(kind)?;
            if read.entries.insert(name, value).is_some() {
                return Err(wrong(format!("`{}` is written twice", clip(name))));
            }
        }
        let infos: Vec<Info<'_>> =
            (0..tensors).map(|_| head.info()).collect::<Result<_, LoadError>>()?;
        let data = data(file, head.rest, read.alignment()?)?;
        read.place(infos, data)?;
        Ok(read)
    }

    fn alignment(&self) -> Result<u64, LoadError> {
        let said = self.whole("general.alignment").unwrap_or(32);
        if said.is_power_of_two() && said <= ALIGNMENT_MAX {
            Ok(said)
        } else {
            Err(wrong("`general.alignment` is no power of two up to 65536"))
        }
    }

    /// All of them together are no longer than the file: none of its bytes counts twice.
    fn place(&mut self, infos: Vec<Info<'f>>, data: &'f [u8]) -> Result<(), LoadError> {
        let mut sum = 0_u64;
        for Info { name, kind, shape, bytes, offset } in infos {
            sum = sum.saturating_add(bytes);
            let range = usize::try_from(offset).ok().zip(usize::try_from(bytes).ok());
            let found = range.and_then(|(at, length)| data.get(at..at.checked_add(length)?));
            let bytes = found.filter(|_| sum <= data.len() as u64).ok_or(LoadError::Cut)?;
            let block = Block { kind, shape, bytes };
            if self.tensors.insert(name, block).is_some() {
                return Err(wrong(format!("the tensor `{}` is there twice", clip(name))));
            }
        }
        Ok(())
    }

    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value<'f>> {
        self.entries.get(name)
    }

    #[must_use]
    pub fn text(&self, name: &str) -> Option<&'f str> {
        match self.get(name)? {
            Value::Text(text) => Some(text),
            Value::Whole(_) | Value::Real(_) | Value::Bool(_) | Value::List(_) => None,
        }
    }

    /// A number of things.
    #[must_use]
    pub fn whole(&self, name: &str) -> Option<u64> {
        match self.get(name)? {
            Value::Whole(number) => u64::try_from(*number).ok(),
            Value::Text(_) | Value::Real(_) | Value::Bool(_) | Value::List(_) => None,
        }
    }

    #[must_use]
    pub fn real(&self, name: &str) -> Option<f64> {
        match self.get(name)? {
            Value::Real(number) => Some(*number),
            Value::Whole(_) | Value::Text(_) | Value::Bool(_) | Value::List(_) => None,
        }
    }

    #[must_use]
    pub fn is(&self, name: &str) -> Option<bool> {
        match self.get(name)? {
            Value::Bool(is) => Some(*is),
            Value::Whole(_) | Value::Text(_) | Value::Real(_) | Value::List(_) => None,
        }
    }

    #[must_use]
    pub fn list(&self, name: &str) -> Option<&[Value<'f>]> {
        match self.get(name)? {
            Value::List(list) => Some(list),
            Value::Whole(_) | Value::Text(_) | Value::Real(_) | Value::Bool(_) => None,
        }
    }

    /// All numbers of all tensors.
    #[must_use]
    pub fn parameters(&self) -> u64 {
        let of = |block: &Block<'_>| block.shape.iter().map(|it| *it as u64).product::<u64>();
        self.tensors.values().map(of).sum()
    }

    /// How most of it is written.
    #[must_use]
    pub fn kind(&self) -> Option<Kind> {
        let mut bytes: BTreeMap<Kind, usize> = BTreeMap::new();
        for block in self.tensors.values() {
            *bytes.entry(block.kind).or_default() += block.bytes.len();
        }
        bytes.into_iter().max_by_key(|(_, bytes)| *bytes).map(|(kind, _)| kind)
    }
}

/// A tensor as the head has it.
struct Info<'f> {
    name: &'f str,
    kind: Kind,
    shape: Vec<usize>,
    bytes: u64,
    offset: u64,
}

/// What of the head is still to be read.
struct Head<'f> {
    rest: &'f [u8],
    /// Of all lists so far.
    items: u64,
}

impl<'f> Head<'f> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], LoadError> {
        let (bytes, rest) = self.rest.split_first_chunk::<N>().ok_or(LoadError::Cut)?;
        self.rest = rest;
        Ok(*bytes)
    }

    fn u32(&mut self) -> Result<u32, LoadError> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, LoadError> {
        self.array().map(u64::from_le_bytes)
    }

    fn text(&mut self) -> Result<&'f str, LoadError> {
        let length = self.u64()?;
        if length > TEXT_BYTES_MAX {
            return Err(LoadError::TooMany { what: "letters in one text" });
        }
        let length = usize::try_from(length).map_err(|_| LoadError::Cut)?;
        let (bytes, rest) = self.rest.split_at_checked(length).ok_or(LoadError::Cut)?;
        self.rest = rest;
        std::str::from_utf8(bytes).map_err(|_| wrong("a text in its head is not UTF-8"))
    }

    fn value(&mut self, kind: u32) -> Result<Value<'f>, LoadError> {
        if kind != LIST {
            return self.item(kind);
        }
        let (kind, count) = (self.u32()?, self.u64()?);
        self.items = self.items.saturating_add(count);
        if self.items > ITEMS_MAX {
            return Err(LoadError::TooMany { what: "items in lists of its head" });
        }
        (0..count).map(|_| self.item(kind)).collect::<Result<_, _>>().map(Value::List)
    }

    fn item(&mut self, kind: u32) -> Result<Value<'f>, LoadError> {
        Ok(match kind {
            0 => Value::Whole(u8::from_le_bytes(self.array()?).into()),
            1 => Value::Whole(i8::from_le_bytes(self.array()?).into()),
            2 => Value::Whole(u16::from_le_bytes(self.array()?).into()),
            3 => Value::Whole(i16::from_le_bytes(self.array()?).into()),
            4 => Value::Whole(u32::from_le_bytes(self.array()?).into()),
            5 => Value::Whole(i32::from_le_bytes(self.array()?).into()),
            6 => Value::Real(f32::from_le_bytes(self.array()?).into()),
            7 => Value::Bool(self.array::<1>()? != [0]),
            8 => Value::Text(self.text()?),
            LIST => return Err(wrong("a list in its head has lists in it")),
            10 => Value::Whole(u64::from_le_bytes(self.array()?).into()),
            11 => Value::Whole(i64::from_le_bytes(self.array()?).into()),
            12 => Value::Real(f64::from_le_bytes(self.array()?)),
            other => {
                return Err(wrong(format!("its head has a value of the unknown type {other}")));
            }
        })
    }

    fn info(&mut self) -> Result<Info<'f>, LoadError> {
        let name = self.text()?;
        let misfit = || LoadError::Tensor { name: clip(name) };
        let axes = self.u32()?;
        if axes > AXES_MAX {
            return Err(misfit());
        }
        let mut shape = Vec::with_capacity(axes as usize);
        let mut count = Some(1_u64);
        for _ in 0..axes {
            let length = self.u64()?;
            count = count.and_then(|it| it.checked_mul(length));
            shape.push(usize::try_from(length).map_err(|_| misfit())?);
        }
        let kind = Kind::of(self.u32()?)?;
        let (numbers, bytes) = kind.block();
        // A block lies along the fastest axis, which is the first one here.
        let is_whole = shape.first().is_none_or(|it| (*it as u64).is_multiple_of(numbers));
        let bytes = count.map(|it| it / numbers).and_then(|it| it.checked_mul(bytes));
        let bytes = bytes.filter(|_| is_whole && axes > 0).ok_or_else(misfit)?;
        shape.reverse();
        Ok(Info { name, kind, shape, bytes, offset: self.u64()? })
    }
}

/// The number of the type of lists.
const LIST: u32 = 9;

/// Behind the head, from the next boundary on.
fn data<'f>(file: &'f [u8], rest: &'f [u8], alignment: u64) -> Result<&'f [u8], LoadError> {
    let start = (file.len() - rest.len()) as u64;
    let start = usize::try_from(start.next_multiple_of(alignment)).map_err(|_| LoadError::Cut)?;
    Ok(file.get(start..).unwrap_or_default())
}

fn clip(name: &str) -> String {
    name.chars().take(80).collect()
}

fn wrong(what: impl Into<String>) -> LoadError {
    LoadError::Weights { format: "GGUF", what: what.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Vec<u8> {
        [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat()
    }

    fn entry(name: &str, kind: u32, value: &[u8]) -> Vec<u8> {
        [text(name), kind.to_le_bytes().to_vec(), value.to_vec()].concat()
    }

    fn tensor(name: &str, shape: &[u64], kind: u32, offset: u64) -> Vec<u8> {
        let axes: Vec<u8> = shape.iter().flat_map(|it| it.to_le_bytes()).collect();
        let (count, kind) = ((shape.len() as u32).to_le_bytes(), kind.to_le_bytes());
        [text(name), count.to_vec(), axes, kind.to_vec(), offset.to_le_bytes().to_vec()].concat()
    }

    fn file(entries: &[Vec<u8>], tensors: &[Vec<u8>], data: usize) -> Vec<u8> {
        let counts = [tensors.len() as u64, entries.len() as u64].map(u64::to_le_bytes).concat();
        let mut file = [&MAGIC[..], &3_u32.to_le_bytes(), &counts].concat();
        file.extend(entries.concat());
        file.extend(tensors.concat());
        file.resize(file.len().next_multiple_of(32) + data, 7);
        file
    }

    fn said(file: &[u8]) -> String {
        Gguf::read(file).expect_err("no such file").to_string()
    }

    /// Mutation: read the axes as they are written, or begin the data right behind the head.
    #[test]
    fn a_head_says_what_is_in_the_file_and_where() {
        let list =
            [&8_u32.to_le_bytes()[..], &2_u64.to_le_bytes(), &text("a"), &text("b")].concat();
        let entries = [
            entry("general.architecture", 8, &text("llama")),
            entry("llama.block_count", 4, &7_u32.to_le_bytes()),
            entry("llama.eps", 6, &0.5_f32.to_le_bytes()),
            entry("add", 7, &[1]),
            entry("tokens", 9, &list),
        ];
        let tensors = [tensor("w", &[32, 2], 8, 0), tensor("b", &[3], 0, 96)];
        let file = file(&entries, &tensors, 128);
        let read = Gguf::read(&file).expect("a file");
        assert_eq!(read.text("general.architecture"), Some("llama"));
        assert_eq!(read.whole("llama.block_count"), Some(7));
        assert_eq!((read.real("llama.eps"), read.is("add")), (Some(0.5), Some(true)));
        assert_eq!(read.list("tokens"), Some(&[Value::Text("a"), Value::Text("b")][..]));
        let block = &read.tensors["w"];
        assert_eq!(
            (block.kind, block.shape.as_slice(), block.bytes.len()),
            (Kind::Q8_0, &[2, 32][..], 68)
        );
        assert_eq!(read.tensors["b"].bytes, [7; 12]);
        assert_eq!((read.parameters(), read.kind()), (67, Some(Kind::Q8_0)));
    }

    /// Mutation: leave out any of these checks.
    #[test]
    fn absurd_heads_are_refused_before_anything_is_reserved() {
        let counts = |tensors: u64, entries: u64| {
            let counts = [tensors, entries].map(u64::to_le_bytes).concat();
            [&MAGIC[..], &3_u32.to_le_bytes(), &counts].concat()
        };
        assert!(said(&counts(4_000_000_000, 0)).contains("too many tensors"));
        assert!(said(&counts(0, u64::MAX)).contains("too many entries"));
        assert_eq!(said(&counts(1, 0)), LoadError::Cut.to_string());
        assert!(said(b"GGUF\x01\0\0\0").contains("version 1"));
        let long = [&4_u32.to_le_bytes()[..], &u64::MAX.to_le_bytes()].concat();
        assert!(said(&file(&[entry("x", 9, &long)], &[], 0)).contains("too many items"));
        let nested = [&9_u32.to_le_bytes()[..], &1_u64.to_le_bytes()].concat();
        assert!(said(&file(&[entry("x", 9, &nested)], &[], 0)).contains("lists in it"));
        assert!(said(&file(&[entry("x", 13, &[])], &[], 0)).contains("unknown type 13"));
        let twice = [entry("x", 7, &[1]), entry("x", 7, &[0])];
        assert!(said(&file(&twice, &[], 0)).contains("`x` is written twice"));
        let aligned = entry("general.alignment", 4, &3_u32.to_le_bytes());
        assert!(said(&file(&[aligned], &[], 0)).contains("power of two"));
        let one =
            |shape: &[u64], kind, offset| said(&file(&[], &[tensor("t", shape, kind, offset)], 64));
        assert!(one(&[u64::MAX, u64::MAX], 0, 0).contains("`t` of the model does not fit"));
        assert!(one(&[33], 8, 0).contains("does not fit"));
        assert!(one(&[], 0, 0).contains("does not fit"));
        assert!(one(&[1, 1, 1, 1, 1], 0, 0).contains("does not fit"));
        assert!(one(&[4], 16, 0).contains("type 16 of ggml"));
        assert_eq!(one(&[4], 0, u64::MAX), LoadError::Cut.to_string());
        assert_eq!(one(&[17], 0, 0), LoadError::Cut.to_string());
        // Each fits, and all of them together do not.
        let same: Vec<_> = ["a", "b"].map(|name| tensor(name, &[16], 0, 0)).to_vec();
        assert_eq!(said(&file(&[], &same, 64)), LoadError::Cut.to_string());
    }
}
