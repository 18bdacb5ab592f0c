//! A folder of weights as one file: a plain tar archive of those of its files that mean something.
//!
//! The same folder gives the same bytes, so that its digest says which model it is.

use crate::model::LoadError;

/// What of a folder is taken: what it is, its numbers, its words, and how its vectors are made.
pub const FILES: [&str; 7] = [
    "config.json",
    "model.safetensors",
    "modules.json",
    "sentence_bert_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "1_Pooling/config.json",
];

/// Those without which a folder is no model.
pub const NEEDED: [&str; 3] = ["config.json", "model.safetensors", "tokenizer.json"];

/// A block of the archive.
const BLOCK: usize = 512;

/// Where fields of a header lie.
const SIZE: std::ops::Range<usize> = 124..136;
const SUM: std::ops::Range<usize> = 148..156;
const MARK: std::ops::Range<usize> = 257..262;

/// Whether this is an archive.
#[must_use]
pub fn is_archive(file: &[u8]) -> bool {
    file.get(MARK) == Some(b"ustar".as_slice())
}

/// Files with names of [`FILES`], in their order.
#[must_use]
pub fn pack(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = Vec::new();
    let in_order = FILES.iter().filter_map(|name| files.iter().find(|(it, _)| it == name));
    for (name, content) in in_order {
        archive.extend(header(name, content.len()));
        archive.extend(*content);
        archive.resize(archive.len().next_multiple_of(BLOCK), 0);
    }
    archive.resize(archive.len() + 2 * BLOCK, 0);
    archive
}

fn header(name: &str, length: usize) -> [u8; BLOCK] {
    let mut header = [0; BLOCK];
    let mut put =
        |at: usize, text: &str| header[at..at + text.len()].copy_from_slice(text.as_bytes());
    put(0, name);
    put(100, "0000644\0");
    put(108, "0000000\0");
    put(116, "0000000\0");
    put(SIZE.start, &format!("{length:011o}\0"));
    put(136, "00000000000\0");
    put(SUM.start, "        ");
    put(156, "0");
    put(MARK.start, "ustar\x0000");
    let sum: u32 = header.iter().map(|it| u32::from(*it)).sum();
    header[SUM].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    header
}

/// What is in an archive. Files with other names are not looked at.
pub fn unpack(archive: &[u8]) -> Result<Vec<(&'static str, &[u8])>, LoadError> {
    let mut found: Vec<(&'static str, &[u8])> = Vec::new();
    let mut rest = archive;
    while let Some((header, behind)) = rest.split_first_chunk::<BLOCK>() {
        if header.iter().all(|it| *it == 0) {
            return Ok(found);
        }
        if !is_archive(header) {
            return Err(wrong("one of its headers is none"));
        }
        let length =
            octal(&header[SIZE]).ok_or_else(|| wrong("the length of a file is no number"))?;
        let content = behind.get(..length).ok_or(LoadError::Cut)?;
        // The last block is filled up.
        let next = length.checked_next_multiple_of(BLOCK).ok_or(LoadError::Cut)?;
        rest = behind.get(next..).unwrap_or_default();
        let is_file = matches!(header[156], 0 | b'0');
        let name = name(header);
        let Some(name) = FILES.into_iter().find(|it| is_file && it.as_bytes() == name) else {
            continue;
        };
        if found.iter().any(|(it, _)| *it == name) {
            return Err(wrong(&format!("`{name}` is there twice")));
        }
        found.push((name, content));
    }
    Err(LoadError::Cut)
}

/// Tools write `./` before each.
fn name(header: &[u8; BLOCK]) -> &[u8] {
    let field = &header[..100];
    let name = field.split(|it| *it == 0).next().unwrap_or_default();
    name.strip_prefix(b"./").unwrap_or(name)
}

fn octal(field: &[u8]) -> Option<usize> {
    let text = std::str::from_utf8(field).ok()?;
    usize::from_str_radix(text.trim_matches(['\0', ' ']), 8).ok()
}

fn wrong(what: &str) -> LoadError {
    LoadError::Weights { format: "tar", what: what.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mutation: forget to fill the last block up, or keep the order in which files are given.
    #[test]
    fn a_folder_comes_back_as_it_was_packed_whatever_its_order() {
        let (config, words) = (b"{}".as_slice(), [1_u8; 513]);
        let packed =
            pack(&[("tokenizer.json", &words), ("config.json", config), ("notes.txt", b"x")]);
        assert_eq!(packed.len() % BLOCK, 0);
        assert!(is_archive(&packed));
        let files = unpack(&packed).expect("an archive");
        assert_eq!(files, [("config.json", config), ("tokenizer.json", &words[..])]);
        assert_eq!(pack(&[("config.json", config), ("tokenizer.json", &words)]), packed);
    }

    /// Mutation: take a length as it is said, or the end for the end of the archive.
    #[test]
    fn a_broken_archive_is_refused() {
        let whole = pack(&[("config.json", b"{}")]);
        assert_eq!(unpack(&whole[..BLOCK]), Err(LoadError::Cut));
        assert_eq!(unpack(&[]), Err(LoadError::Cut));
        for at in 0..BLOCK {
            for byte in [0, b'7', 0xff] {
                let mut changed = whole.clone();
                changed[at] = byte;
                // An error or an archive without the file; never a panic.
                let _ = unpack(&changed);
            }
        }
        let mut long = whole.clone();
        long[SIZE].copy_from_slice(b"77777777777\0");
        assert_eq!(unpack(&long), Err(LoadError::Cut));
        let twice = [&whole[..2 * BLOCK], &whole].concat();
        assert!(unpack(&twice).is_err_and(|it| it.to_string().contains("twice")));
    }
}
