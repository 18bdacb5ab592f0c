//! A disk that is full under a site at work. Needs the right to mount a small one; says so where it
//! has not.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{Home, document};

const DISK: &str = "size=96m";

const LOOPS: &str = "  - each:
      for: { each: i, in: '[range(0; 3000)]' }
      do:
        - say:
            call: echo:1.0.0@default
            with: { n: '${ $i }', text: '${ $input.text }' }
            output: { as: '${ $input }' }
";

struct Disk(PathBuf);

impl Disk {
    fn mount(folder: &Path) -> Option<Self> {
        fs::create_dir_all(folder).expect("a folder");
        let mut mount = Command::new("mount");
        let mount = mount.args(["-t", "tmpfs", "-o", DISK, "tmpfs"]).arg(folder);
        let done = mount.output().is_ok_and(|output| output.status.success());
        done.then(|| Self(folder.to_owned()))
    }

    /// Leaves no room at all.
    fn fill(&self) {
        let filler = self.0.join("filler");
        let mut file = fs::File::create(&filler).expect("made");
        let chunk = [7_u8; 4096];
        while std::io::Write::write_all(&mut file, &chunk).is_ok() {}
    }

    fn make_room(&self) {
        fs::remove_file(self.0.join("filler")).expect("it is there");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// Tries until the site says that its disk is full; the log has some room of its own.
fn until_full(home: &Home) {
    for _ in 0..2_000 {
        let refused = home.run(&["run", "short", "-i", "n=1"]);
        if refused.code == 7 && refused.stderr.contains("STO-001") {
            assert!(refused.stderr.contains("free some space"), "{refused:?}");
            return;
        }
        assert!(refused.code == 0 || refused.stderr.contains("STO-001"), "{refused:?}");
    }
    panic!("the disk is never full");
}

/// Mutation: end a run that cannot be written, refuse to cancel on a full disk, leave a half copy of
/// the store there, or wait for a restart when there is room again.
#[test]
fn a_full_disk_refuses_new_work_and_goes_on_when_there_is_room() {
    let home = Home::new();
    let Some(disk) = Disk::mount(&home.path(".isonomy")) else {
        eprintln!("skipped: a tmpfs cannot be mounted here");
        return;
    };
    home.write("all/loops.yaml", &document("loops", LOOPS));
    home.write(
        "all/short.yaml",
        &document(
            "short",
            "  - say:\n      call: echo:1.0.0@default\n      with: { n: '${ .n }' }\n",
        ),
    );
    home.write("all/sleeps.yaml", &document("sleeps", "  - nap:\n      wait: PT1H\n"));
    home.write("text.json", &format!("{{\"text\": \"{}\"}}", "x".repeat(500)));
    let dev = home.dev();
    home.run(&["apply", "-f", "all", "--yes"]).ends_with(0);
    let asleep = home.run(&["run", "sleeps", "--detach"]).ends_with(0).run_id();
    let loops: Vec<String> = (0..3)
        .map(|_| home.run(&["run", "loops", "-i", "@text.json", "--detach"]).ends_with(0).run_id())
        .collect();
    disk.fill();
    until_full(&home);
    home.run(&["runs", "show", &asleep]).ends_with(0);
    let refused = home.run(&["store", "backup", "copy"]).ends_with(7);
    assert!(refused.stderr.contains("cannot copy the store"), "{refused:?}");
    assert!(!home.path("copy/manifest.json").exists());
    assert!(!home.path(".isonomy/scratch/isonomy.db").exists());
    home.run(&["runs", "cancel", &asleep]).ends_with(0);
    home.run(&["store", "check"]).ends_with(0);

    disk.make_room();
    home.run(&["run", "short", "-i", "n=1"]).ends_with(0);
    for run in &loops[..2] {
        home.run(&["runs", "follow", run]).ends_with(0);
    }
    home.run(&["store", "check"]).ends_with(0);

    // Killed on a full disk and started there.
    let more = home.run(&["run", "loops", "-i", "@text.json", "--detach"]).ends_with(0).run_id();
    disk.fill();
    until_full(&home);
    dev.kill();
    let dev = home.dev();
    until_full(&home);
    home.run(&["store", "check"]).ends_with(0);
    disk.make_room();
    for run in [&loops[2], &more] {
        home.run(&["runs", "follow", run]).ends_with(0);
    }
    let list =
        home.run(&["runs", "--all", "--state", "running,pending,waiting,suspended", "-o", "json"]);
    let left = list.ends_with(0).json();
    assert_eq!(left["items"], serde_json::json!([]), "no run is stuck");
    dev.stop().ends_with(0);
    home.run(&["store", "check", "--data", ".isonomy"]).ends_with(0);
}
