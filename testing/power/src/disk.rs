//! A disk, as far as it is sure of itself, and what it may hold when the power goes.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::path::Path;

use bytes::Bytes;

use crate::log::{Entry, Inode};

/// What a disk writes as one: less than a page, so that pages are torn.
const SECTOR_BYTES: usize = 512;

/// What is made anew after a loss of power, so that anything may stand in it.
const REMADE_SUFFIX: &str = "-shm";

/// A file's place in [`Disk::files`]; never used twice, as inodes are.
type FileNo = usize;

/// Of what was not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    Nothing,
    Everything,
    /// Some, by this seed.
    Some(u64),
}

#[derive(Debug, Default)]
pub struct Disk {
    files: Vec<File>,
    numbers: HashMap<Inode, FileNo>,
    folders: HashMap<Inode, String>,
    /// As the program sees them.
    names: Names,
    /// As they are for sure.
    durable: Names,
    pending: Vec<Naming>,
    /// A disk that says it had synced, and has not.
    lies: bool,
}

#[derive(Debug, Default)]
struct File {
    durable: Vec<u8>,
    pending: Vec<Change>,
}

#[derive(Debug, Clone)]
enum Change {
    Write { at: usize, bytes: Bytes },
    Size(usize),
}

#[derive(Debug, Clone, Default)]
struct Names {
    folders: BTreeSet<String>,
    files: BTreeMap<String, FileNo>,
}

#[derive(Debug, Clone)]
enum Naming {
    Folder(String),
    File(String, FileNo),
    Rename { from: String, to: String, file: FileNo },
    Remove(String),
}

/// What a folder holds.
#[derive(Debug, PartialEq, Eq)]
pub struct Image {
    pub folders: BTreeSet<String>,
    pub files: BTreeMap<String, Vec<u8>>,
}

impl Disk {
    /// A disk on which a sync does nothing: the control that shows that a test would see a loss.
    #[must_use]
    pub fn lying() -> Self {
        Self { lies: true, ..Self::default() }
    }

    pub fn apply(&mut self, entry: &Entry) {
        match entry {
            Entry::Created { inode, path } => {
                let file = self.files.len();
                self.files.push(File::default());
                self.numbers.insert(*inode, file);
                self.folders.remove(inode);
                self.name(Naming::File(path.clone(), file));
            }
            Entry::FolderOpened { inode, path } => {
                self.folders.insert(*inode, path.clone());
            }
            Entry::FolderMade { path } => self.name(Naming::Folder(path.clone())),
            Entry::Written { inode, at, bytes } => {
                let at = usize::try_from(*at).expect("a file of a test fits into memory");
                self.file(*inode).pending.push(Change::Write { at, bytes: bytes.clone() });
            }
            Entry::Sized { inode, length } => {
                let length = usize::try_from(*length).expect("a file of a test fits into memory");
                self.file(*inode).pending.push(Change::Size(length));
            }
            Entry::Synced { .. } if self.lies => {}
            Entry::Synced { inode } => match self.folders.get(inode).cloned() {
                Some(folder) => self.sync_names(&folder),
                None => self.file(*inode).sync(),
            },
            Entry::Renamed { from, to } => match self.names.files.get(from) {
                Some(&file) => {
                    self.name(Naming::Rename { from: from.clone(), to: to.clone(), file });
                }
                None => panic!("`{from}` is renamed and was never created"),
            },
            Entry::Removed { path } => self.name(Naming::Remove(path.clone())),
            Entry::Said { .. } => {}
        }
    }

    /// What the folder may hold if the power goes now.
    #[must_use]
    pub fn after_power_loss(&self, keep: Keep) -> Image {
        let mut dice = Dice::new(keep);
        let mut names = self.durable.clone();
        let kept = dice.up_to(self.pending.len());
        self.pending[..kept].iter().for_each(|naming| names.apply(naming));
        // A name in a folder that is not there is not there either.
        let is_reached = |path: &str| {
            let mut above = parent(path);
            while above != "." {
                if !names.folders.contains(above) {
                    return false;
                }
                above = parent(above);
            }
            true
        };
        let files = names.files.iter().filter(|(path, _)| is_reached(path));
        let files = files.map(|(path, file)| {
            let mut content = self.files[*file].after_power_loss(&mut dice);
            if path.ends_with(REMADE_SUFFIX) {
                content.fill(0xAA);
            }
            (path.clone(), content)
        });
        let files = files.collect();
        let folders = names.folders.iter().filter(|path| is_reached(path)).cloned().collect();
        Image { folders, files }
    }

    fn file(&mut self, inode: Inode) -> &mut File {
        let number = self.numbers.get(&inode).expect("a file is created before it is written");
        &mut self.files[*number]
    }

    fn name(&mut self, naming: Naming) {
        self.names.apply(&naming);
        self.pending.push(naming);
    }

    fn sync_names(&mut self, folder: &str) {
        let (now, later): (Vec<Naming>, Vec<Naming>) = std::mem::take(&mut self.pending)
            .into_iter()
            .partition(|naming| naming.paths().iter().any(|path| parent(path) == folder));
        now.iter().for_each(|naming| self.durable.apply(naming));
        // A file that has its new name for sure does not come back under its first one.
        let moved = |file: FileNo| {
            now.iter()
                .any(|naming| matches!(naming, Naming::Rename { file: it, .. } if *it == file))
        };
        self.pending = later;
        self.pending.retain(|naming| !matches!(naming, Naming::File(_, file) if moved(*file)));
    }
}

impl File {
    fn sync(&mut self) {
        for change in std::mem::take(&mut self.pending) {
            change.apply(&mut self.durable, |_| true);
        }
    }

    fn after_power_loss(&self, dice: &mut Dice) -> Vec<u8> {
        let mut content = self.durable.clone();
        let share = dice.share();
        for change in &self.pending {
            match change {
                Change::Size(_) if !dice.falls(share) => {}
                change => change.apply(&mut content, |_| dice.falls(share)),
            }
        }
        content
    }
}

impl Change {
    /// `keep` is asked for each sector of a write.
    fn apply(&self, content: &mut Vec<u8>, mut keep: impl FnMut(usize) -> bool) {
        match self {
            Self::Size(length) => content.resize(*length, 0),
            Self::Write { at, bytes } => {
                let (mut from, end) = (*at, at + bytes.len());
                while from < end {
                    let to = end.min((from / SECTOR_BYTES + 1) * SECTOR_BYTES);
                    if keep(from) {
                        if content.len() < to {
                            content.resize(to, 0);
                        }
                        content[from..to].copy_from_slice(&bytes[from - at..to - at]);
                    }
                    from = to;
                }
            }
        }
    }
}

impl Names {
    fn apply(&mut self, naming: &Naming) {
        match naming {
            Naming::Folder(path) => {
                self.folders.insert(path.clone());
            }
            Naming::File(path, file) => {
                self.files.insert(path.clone(), *file);
            }
            Naming::Rename { from, to, file } => {
                self.files.remove(from);
                self.files.insert(to.clone(), *file);
            }
            Naming::Remove(path) => {
                self.files.remove(path);
            }
        }
    }
}

impl Naming {
    fn paths(&self) -> Vec<&str> {
        match self {
            Self::Folder(path) | Self::File(path, _) | Self::Remove(path) => vec![path],
            Self::Rename { from, to, .. } => vec![from, to],
        }
    }
}

fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or(".", |(folder, _)| folder)
}

impl Image {
    /// What a folder really holds.
    pub fn read(folder: &Path) -> io::Result<Self> {
        let mut image = Self { folders: BTreeSet::new(), files: BTreeMap::new() };
        image.read_below(folder, "")?;
        Ok(image)
    }

    fn read_below(&mut self, folder: &Path, prefix: &str) -> io::Result<()> {
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
            if entry.file_type()?.is_dir() {
                self.read_below(&entry.path(), &format!("{name}/"))?;
                self.folders.insert(name);
            } else {
                let mut content = std::fs::read(entry.path())?;
                if name.ends_with(REMADE_SUFFIX) {
                    content.fill(0xAA);
                }
                self.files.insert(name, content);
            }
        }
        Ok(())
    }

    /// Writes it into an empty folder.
    pub fn write(&self, folder: &Path) -> io::Result<()> {
        for path in &self.folders {
            std::fs::create_dir_all(folder.join(path))?;
        }
        for (path, content) in &self.files {
            std::fs::write(folder.join(path), content)?;
        }
        Ok(())
    }
}

/// Chance that is the same for the same seed.
struct Dice {
    keep: Keep,
    state: u64,
}

impl Dice {
    fn new(keep: Keep) -> Self {
        let state = if let Keep::Some(seed) = keep { seed } else { 0 };
        Self { keep, state }
    }

    /// SplitMix64.
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn up_to(&mut self, count: usize) -> usize {
        match self.keep {
            Keep::Nothing => 0,
            Keep::Everything => count,
            Keep::Some(_) => (self.next() % (count as u64 + 1)) as usize,
        }
    }

    /// How much of a file's pending sectors are kept, of 8: often all or none, which is what tears
    /// files against each other.
    fn share(&mut self) -> u64 {
        match self.keep {
            Keep::Nothing => 0,
            Keep::Everything => 8,
            Keep::Some(_) => [0, 1, 4, 7, 8, 8][(self.next() % 6) as usize],
        }
    }

    fn falls(&mut self, share: u64) -> bool {
        match share {
            0 => false,
            8 => true,
            share => self.next() % 8 < share,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn created(inode: Inode, path: &str) -> Entry {
        Entry::Created { inode, path: path.to_owned() }
    }

    fn written(inode: Inode, at: u64, bytes: Vec<u8>) -> Entry {
        Entry::Written { inode, at, bytes: bytes.into() }
    }

    fn renamed(from: &str, to: &str) -> Entry {
        Entry::Renamed { from: from.to_owned(), to: to.to_owned() }
    }

    fn opened(inode: Inode, path: &str) -> Entry {
        Entry::FolderOpened { inode, path: path.to_owned() }
    }

    fn after(entries: &[Entry], keep: Keep) -> String {
        let mut disk = Disk::default();
        entries.iter().for_each(|entry| disk.apply(entry));
        let image = disk.after_power_loss(keep);
        let files = image.files.iter().map(|(path, content)| format!("{path}: {}", content.len()));
        image
            .folders
            .iter()
            .map(|path| format!("{path}/"))
            .chain(files)
            .collect::<Vec<_>>()
            .join(", ")
    }

    /// Mutation: let a sync of a file make its name durable, or a sync of a folder its files' content.
    #[test]
    fn a_file_is_sure_by_its_own_sync_and_that_of_its_folder() {
        let file = [created(1, "a"), written(1, 0, vec![7; 10])];
        let synced = Entry::Synced { inode: 1 };
        let named = [opened(9, "."), Entry::Synced { inode: 9 }];
        assert_eq!(after(&file, Keep::Nothing), "");
        assert_eq!(after(&file, Keep::Everything), "a: 10");
        assert_eq!(after(&[&file[..], std::slice::from_ref(&synced)].concat(), Keep::Nothing), "");
        assert_eq!(after(&[&file[..], &named].concat(), Keep::Nothing), "a: 0");
        assert_eq!(after(&[&file[..], &[synced], &named].concat(), Keep::Nothing), "a: 10");
    }

    /// Mutation: forget that the folders above must be there, or bring a file back under its first name.
    #[test]
    fn a_new_name_is_sure_by_the_sync_of_its_folder() {
        let folder = |path: &str| Entry::FolderMade { path: path.to_owned() };
        let moved = [folder("new"), folder("old"), created(1, "old/a"), renamed("old/a", "new/a")];
        let synced = [opened(8, "new"), Entry::Synced { inode: 8 }];
        let above = [opened(9, "."), Entry::Synced { inode: 9 }];
        assert_eq!(after(&[&moved[..], &synced].concat(), Keep::Nothing), "");
        let sure = [&moved[..], &synced, &above].concat();
        assert_eq!(after(&sure, Keep::Nothing), "new/, old/, new/a: 0");
        assert_eq!(after(&sure, Keep::Everything), "new/, old/, new/a: 0");
    }

    /// Mutation: keep or lose a write as a whole.
    #[test]
    fn a_write_is_torn_between_sectors() {
        let mut disk = Disk::default();
        disk.apply(&created(1, "a"));
        disk.apply(&opened(9, "."));
        disk.apply(&Entry::Synced { inode: 9 });
        disk.apply(&written(1, 100, vec![7; 16 * SECTOR_BYTES]));
        let torn = (0..100).filter(|seed| {
            let image = disk.after_power_loss(Keep::Some(*seed));
            let content = &image.files["a"];
            let sectors: Vec<bool> =
                content.chunks(SECTOR_BYTES).map(|it| it.ends_with(&[7])).collect();
            sectors.contains(&true) && sectors.contains(&false)
        });
        assert!(torn.count() > 20);
    }
}
