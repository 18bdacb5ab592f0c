//! The power goes: what was acknowledged is there, and nothing is there by half, whatever the disk
//! kept of what was not synced.
//!
//! The child of the crash tests runs once, is killed and runs on; every moment of what it did to its
//! files is one at which the power may have gone.

use std::collections::HashMap;
use std::path::Path;

use crate::sqlite::{OpenOptions, SqliteStore};
use power::{Disk, Entry, Image, Keep, Recorder};

use crate::crash::{acknowledged, child, examine, listen};
use crate::folder;

/// Acknowledgements after which the first process is killed, and those after which the second one is:
/// enough for blob files and for a log that is copied into the database and begun again.
const ACKNOWLEDGED: [u64; 2] = [700, 2_300];

/// Moments that are tried, besides all of the beginning. More of them: `ISONOMY_CASES=400`.
const MOMENTS: usize = 24;

/// From the empty folder to the first commit.
const BEGINNING: usize = 40;

fn recorded(folder: &Path) -> (Vec<Entry>, Image) {
    let (root, beside) = (folder.join("root"), folder.join("beside"));
    std::fs::create_dir(&root).expect("a folder for the test");
    std::fs::create_dir(&beside).expect("a folder for the test");
    let root = root.canonicalize().expect("it is there");
    let recorder = Recorder::new(&root, &beside).expect("the C compiler that SQLite is built with");
    for count in ACKNOWLEDGED {
        let mut child = child("commit", &root.join("data"));
        let mut child = recorder.record(&mut child).spawn().expect("starts");
        listen(&mut child, count, &mut HashMap::new());
        let ended = recorder.between(|| child.kill().and_then(|()| child.wait()));
        ended.expect("a log").expect("SIGKILL");
    }
    (recorder.entries().expect("a log"), Image::read(&root).expect("the folder"))
}

fn hear(entry: &Entry, rest: &mut String, acked: &mut HashMap<u64, u64>) {
    let Entry::Said { text } = entry else { return };
    rest.push_str(&String::from_utf8_lossy(text));
    while let Some((line, after)) = rest.split_once('\n') {
        acked.extend(acknowledged(line));
        *rest = after.to_owned();
    }
}

async fn judge(image: &Image, acked: &HashMap<u64, u64>) -> Result<(), String> {
    let folder = folder();
    image.write(folder.path()).expect("there is room");
    let store = SqliteStore::open(&folder.path().join("data"), OpenOptions::default());
    examine(&store.map_err(|error| error.to_string())?, acked).await
}

/// Mutation: `synchronous=NORMAL`, a blob file that is renamed before it is synced, or one whose folder
/// is not synced.
#[tokio::test]
async fn the_loss_of_power_takes_nothing_that_was_acknowledged() {
    let folder = folder();
    let (entries, real) = recorded(folder.path());
    let is_sync = |entry: &&Entry| matches!(entry, Entry::Synced { .. });
    let syncs = entries.iter().filter(is_sync).count();
    assert!(syncs > 500, "{syncs} syncs in {} entries", entries.len());

    let moments = std::env::var("ISONOMY_CASES").map_or(MOMENTS, |n| n.parse().expect("a number"));
    let step = (entries.len() / moments).max(1);
    let (mut disk, mut liar) = (Disk::default(), Disk::lying());
    let (mut rest, mut acked) = (String::new(), HashMap::new());
    for (moment, entry) in (0_u64..).zip(&entries) {
        disk.apply(entry);
        liar.apply(entry);
        hear(entry, &mut rest, &mut acked);
        if moment > BEGINNING as u64 && !moment.is_multiple_of(step as u64) {
            continue;
        }
        for keep in [Keep::Nothing, Keep::Some(moment)] {
            if let Err(lost) = judge(&disk.after_power_loss(keep), &acked).await {
                panic!("after entry {moment} of {}, {keep:?}: {lost}", entries.len());
            }
        }
    }
    assert!(acked.len() == 8 && acked.values().all(|last| *last > 100), "{acked:?}");
    // Nothing that the program did has escaped the recorder.
    assert!(disk.after_power_loss(Keep::Everything) == real, "the log and the folder differ");
    // And a disk that only says that it syncs does lose something.
    let mut losses = 0;
    for seed in 0..8 {
        losses += u32::from(judge(&liar.after_power_loss(Keep::Some(seed)), &acked).await.is_err());
    }
    assert!(losses > 4, "{losses} of 8");
}
