//! safetensors: the head of a file, and where its tensors lie.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::model::LoadError;

/// The JSON of the head. A model of 70 billion numbers has 80 kB.
const HEAD_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Tensors of one file. The largest BERT has some 400.
pub const TENSORS_MAX: usize = 10_000;

/// Where the file's own remarks stand, which say nothing of tensors.
const REMARKS: &str = "__metadata__";

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub enum Kind {
    F64,
    F32,
    F16,
    #[serde(rename = "BF16")]
    Bf16,
    I64,
    I32,
    I16,
    I8,
    U8,
    #[serde(rename = "BOOL")]
    Bool,
}

/// Numbers of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block<'f> {
    pub kind: Kind,
    pub shape: Vec<usize>,
    pub bytes: &'f [u8],
}

#[derive(Deserialize)]
struct Info {
    dtype: Kind,
    shape: Vec<usize>,
    data_offsets: (usize, usize),
}

impl Kind {
    const fn bytes(self) -> usize {
        match self {
            Self::F64 | Self::I64 => 8,
            Self::F32 | Self::I32 => 4,
            Self::F16 | Self::Bf16 | Self::I16 => 2,
            Self::I8 | Self::U8 | Self::Bool => 1,
        }
    }

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::F64 => "F64",
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::Bf16 => "BF16",
            Self::I64 => "I64",
            Self::I32 => "I32",
            Self::I16 => "I16",
            Self::I8 => "I8",
            Self::U8 => "U8",
            Self::Bool => "BOOL",
        }
    }
}

/// Tensors by name. All of them together are no longer than the file.
pub fn read(file: &[u8]) -> Result<BTreeMap<String, Block<'_>>, LoadError> {
    let (length, rest) = file.split_first_chunk().ok_or(LoadError::Cut)?;
    let length = u64::from_le_bytes(*length);
    if length > HEAD_BYTES_MAX {
        return Err(wrong("its head is longer than 16 MiB".to_owned()));
    }
    let length = usize::try_from(length).map_err(|_| LoadError::Cut)?;
    let (head, data) = rest.split_at_checked(length).ok_or(LoadError::Cut)?;
    let unread = |error: serde_json::Error| {
        wrong(format!("its head cannot be read (line {}, column {})", error.line(), error.column()))
    };
    let mut all: BTreeMap<String, &serde_json::value::RawValue> =
        serde_json::from_slice(head).map_err(unread)?;
    all.remove(REMARKS);
    if all.len() > TENSORS_MAX {
        return Err(LoadError::TooMany { what: "tensors" });
    }
    let mut sum = 0_usize;
    let mut blocks = BTreeMap::new();
    for (name, info) in all {
        let misfit = || LoadError::Tensor { name: name.chars().take(80).collect() };
        let info: Info = serde_json::from_str(info.get()).map_err(|_| misfit())?;
        let (from, to) = info.data_offsets;
        let bytes = data.get(from..to).ok_or_else(misfit)?;
        let count = info.shape.iter().try_fold(1_usize, |sum, it| sum.checked_mul(*it));
        let wanted = count.and_then(|it| it.checked_mul(info.dtype.bytes()));
        sum = sum.saturating_add(bytes.len());
        if wanted != Some(bytes.len()) || sum > data.len() {
            return Err(misfit());
        }
        blocks.insert(name, Block { kind: info.dtype, shape: info.shape, bytes });
    }
    Ok(blocks)
}

fn wrong(what: String) -> LoadError {
    LoadError::Weights { format: "safetensors", what }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(head: &str, data: usize) -> Vec<u8> {
        [&(head.len() as u64).to_le_bytes()[..], head.as_bytes(), &vec![7; data]].concat()
    }

    /// Mutation: leave out any of these checks.
    #[test]
    fn a_head_is_read_and_an_absurd_one_refused() {
        let head = r#"{"__metadata__":{"format":"pt"},"w":{"dtype":"F16","shape":[2,3],"data_offsets":[4,16]}}"#;
        let whole = file(head, 16);
        let read_whole = read(&whole).expect("a file");
        assert_eq!(read_whole["w"], Block { kind: Kind::F16, shape: vec![2, 3], bytes: &[7; 12] });
        let said = |head: &str| read(&file(head, 16)).expect_err(head).to_string();
        let one = |info: &str| said(&format!(r#"{{"w":{{{info}}}}}"#));
        for info in [
            r#""dtype":"F16","shape":[2],"data_offsets":[4,16]"#,
            r#""dtype":"F16","shape":[2],"data_offsets":[14,18]"#,
            r#""dtype":"F16","shape":[2],"data_offsets":[8,4]"#,
            r#""dtype":"F4","shape":[2],"data_offsets":[0,1]"#,
            r#""dtype":"U8","shape":[18446744073709551615,18446744073709551615],"data_offsets":[0,1]"#,
        ] {
            assert!(one(info).contains("`w` of the model does not fit"), "{info}");
        }
        assert!(said("[]").contains("cannot be read (line 1"));
        let same = r#""dtype":"U8","shape":[16],"data_offsets":[0,16]"#;
        assert!(said(&format!(r#"{{"a":{{{same}}},"b":{{{same}}}}}"#)).contains("`b`"));
        assert!(read(&u64::MAX.to_le_bytes()).expect_err("long").to_string().contains("16 MiB"));
        assert_eq!(read(&9_u64.to_le_bytes()), Err(LoadError::Cut));
        assert_eq!(read(b"1234567"), Err(LoadError::Cut));
    }
}
