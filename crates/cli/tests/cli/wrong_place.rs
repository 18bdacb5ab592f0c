//! Commands typed in the wrong folder, or at the wrong one of hub and site: nothing is done, and the way is
//! said.

use crate::support::parties::{hub, join, serve};
use crate::support::{Ended, Home, Process};

fn refused(home: &Home, args: &[&str], code: i32, words: &[&str]) -> Ended {
    let ended = home.run(args).ends_with(code);
    for wanted in words {
        assert!(ended.stderr.contains(wanted), "{args:?}: {}", ended.stderr);
    }
    ended
}

/// Mutation: make a store where there is none, leave a hub that there is not, or say that it was left.
#[test]
fn only_a_site_of_a_hub_leaves_one() {
    let home = Home::new();
    let leave = ["site", "leave", "--yes"];
    refused(&home, &leave, 2, &["there is no site in `.isonomy`", "--data DIR"]);
    assert!(!home.path(".isonomy").exists(), "nothing is made");
    let dev = home.dev();
    refused(&home, &leave, 2, &["belongs to no hub: there is nothing to leave"]);
    dev.stop().ends_with(0);
    refused(&home, &leave, 2, &["belongs to no hub: there is nothing to leave"]);
    home.is_whole();
}

/// Mutation: hear neither the option nor the variable, or refuse the folder that is named.
#[test]
fn what_works_on_a_folder_does_not_do_it_to_another_than_was_named() {
    let home = Home::new();
    home.dev().stop().ends_with(0);
    let url = "http://127.0.0.1:1";
    for args in [
        &["site", "backup", "x", "--server", url][..],
        &["hub", "backup", "x", "--server", url],
        &["site", "leave", "--yes", "--server", url],
        &["site", "serve", "--server", url],
    ] {
        refused(&home, args, 2, &["`--server` is not for it", "--data DIR"]);
    }
    let exported = |args: &[&str]| {
        let mut command = home.command(args);
        command.env("ISONOMY_SERVER", url);
        Process::spawn(command).end()
    };
    let backup = exported(&["site", "backup", "x"]).ends_with(2).stderr;
    assert!(backup.contains("`ISONOMY_SERVER` is not for it"), "{backup}");
    assert!(!home.path("x").exists());
    exported(&["site", "backup", "x", "--data", ".isonomy"]).ends_with(0);
}

/// Mutation: serve a site from a hub's folder, have it leave from there, or make a hub in a site's.
#[test]
fn a_folder_is_a_hubs_or_a_sites() {
    let home = Home::new();
    home.run(&["hub", "init", "--domain", "acme"]).ends_with(0);
    let of_hub = ["--data", ".isonomy-hub"];
    for args in [
        &["site", "serve", "--port", "0"][..],
        &["dev", "--port", "0"],
        &["site", "leave", "--yes"],
        &["site", "backup", "x"],
    ] {
        let args = [args, &of_hub].concat();
        refused(&home, &args, 2, &["`.isonomy-hub` is a hub's folder, and no site's"]);
    }
    home.dev().stop().ends_with(0);
    let init = ["hub", "init", "--domain", "acme", "--data", ".isonomy"];
    refused(&home, &init, 2, &["`.isonomy` is a site's folder"]);
    assert!(!home.path(".isonomy/hub.json").exists());
}

/// Mutation: say only that there is no such path, advise to start a site where a hub serves, or speak of a
/// header to whoever has typed a command without a key.
#[test]
fn whoever_asks_the_wrong_one_is_told_the_way() {
    let home = Home::new();
    let governing = hub(&home);
    join(&home, "clinic-1", &[]);
    let site = serve(&home, "clinic-1");
    let of_hub = ["--server", ".isonomy-hub"];
    let asked = "this is the hub acme, and `runs` is asked at a site";
    for args in [&["runs"][..], &["run", "x"]] {
        let told =
            refused(&home, &[args, &of_hub].concat(), 2, &[asked, "`--all`", "isonomy orders"]);
        assert!(!told.stderr.contains("no such path"), "{}", told.stderr);
    }
    let of_site = ["--server", "clinic-1"];
    for args in [&["sites"][..], &["orders"]] {
        let told = [args, &of_site].concat();
        refused(&home, &told, 2, &["this is the site clinic-1, and `", "is asked at a hub"]);
    }
    let alone =
        refused(&home, &["run", "x"], 6, &["a hub serves from here, and no site", "`--where"]);
    assert!(!alone.stderr.contains("isonomy dev"), "{}", alone.stderr);
    let keyless = ["whoami", "--server", &governing.url];
    let told = refused(&home, &keyless, 3, &["wants a key", "--context", "ISONOMY_KEY", "KEY-001"]);
    assert!(!told.stderr.contains("authorization"), "{}", told.stderr);
    let nobody =
        refused(&home, &["sites", "show", "nobody"], 2, &["error: there is no site nobody"]);
    assert_eq!(nobody.stderr.matches("no site").count() + nobody.stderr.matches("such").count(), 1);
    let brief =
        ["keys", "create", "x", "--role", "viewer", "--ttl", "1s", "--server", ".isonomy-hub"];
    let brief = refused(&home, &brief, 2, &["`--ttl`: "]);
    assert!(!brief.stderr.contains("ttlSeconds"), "{}", brief.stderr);
    site.stop().ends_with(0);
    governing.stop().ends_with(0);
}
