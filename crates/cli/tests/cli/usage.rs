//! Wrong usage, and answers without any site.

use crate::support::Home;

/// Mutation: let the parser's own exit code through for help, or print usage errors on stdout.
#[test]
fn help_is_data_and_wrong_usage_is_talk() {
    let home = Home::new();
    let help = home.run(&["--help"]).ends_with(0);
    assert!(help.stdout.contains("Usage:") && help.stderr.is_empty());
    for args in [
        &["nonsense"][..],
        &[],
        &["runs", "show"],
        &["runs", "show", "run_1"],
        &["runs", "list", "--limit", "many"],
        &["run", "x", "--follow", "--detach"],
        &["run", "x", "--config", "site.yaml"],
        &["run", "x", "--tag", "novalue"],
        &["runs", "--namespace", "not a name"],
        &["apply"],
        &["runs", "-o", "xml"],
    ] {
        let ended = home.run(args).ends_with(2);
        assert!(ended.stdout.is_empty() && !ended.stderr.is_empty(), "{args:?}");
    }
}

/// Mutation: send keys over a network in clear, or take any word for a folder.
#[test]
fn an_address_elsewhere_is_asked_over_tls() {
    let home = Home::new();
    for (address, why) in [
        ("http://192.0.2.1:7474", "on this machine"),
        ("https://user@hub.example", "https://HOST:PORT"),
        ("nonsense", "neither a URL nor a folder"),
    ] {
        let ended = home.run(&["--server", address, "runs"]).ends_with(2);
        assert!(ended.stderr.contains(why), "{}", ended.stderr);
    }
}

/// Mutation: give another exit code where nobody answers, or hide the file that named the address.
#[test]
fn a_site_that_is_not_there_is_unreachable() {
    let home = Home::new();
    // A port that was free a moment ago, and that nobody listens on.
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .and_then(|free| free.local_addr())
        .expect("a port")
        .port();
    let server = format!("http://127.0.0.1:{port}");
    home.write("x.yaml", &crate::support::document("x", "  - a:\n      set: {}\n"));
    for args in [
        &["runs"][..],
        &["workflows"],
        &["run", "x"],
        &["run", "x.yaml"],
        &["apply", "-f", "x.yaml", "--yes"],
        &["runs", "show", "run_01a1fb7b-d522-7414-8c47-aa7df2bebacf"],
        &["runs", "follow", "run_01a1fb7b-d522-7414-8c47-aa7df2bebacf"],
        &["runs", "cancel", "run_01a1fb7b-d522-7414-8c47-aa7df2bebacf"],
    ] {
        let ended = home.run(&[&["--server", &server], args].concat()).ends_with(6);
        assert!(ended.stderr.contains(&format!("nobody answers at {server}")), "{}", ended.stderr);
        assert!(ended.stderr.contains("hint: is `isonomy dev` running?"), "{}", ended.stderr);
    }
    home.write(".isonomy/address", &server);
    let ended = home.run(&["runs"]).ends_with(6);
    assert!(
        ended.stderr.contains("`.isonomy/address`, which a process that was killed leaves behind"),
        "{}",
        ended.stderr
    );
    let version = home.run(&["version"]).ends_with(0);
    assert_eq!(
        version.stdout,
        format!("isonomy {}\nsite: none at {server}\n", env!("CARGO_PKG_VERSION"))
    );
}

/// Mutation: take any server for a site.
#[test]
fn a_foreign_server_is_told_apart() {
    let home = Home::new();
    let world = crate::support::world::World::new(|_| crate::support::world::Answer::Status(404));
    let ended = home.run(&["--server", &world.url, "runs"]).ends_with(7);
    assert!(ended.stderr.contains("is that the address of an Isonomy site?"), "{}", ended.stderr);
}
