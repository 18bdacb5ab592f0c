//! A hub and its sites by their commands, as most of their tests begin. A site lies in a folder of its name.

use std::time::Instant;

use serde_json::Value;

use super::{Dev, HANG, Home};

pub const HUB: &[&str] = &["hub", "serve", "--listen", "127.0.0.1:0", "--port", "0"];

/// A new one, in the usual folder.
pub fn hub(home: &Home) -> Dev {
    home.run(&["hub", "init", "--domain", "acme"]).ends_with(0);
    Dev::of(home.start(HUB))
}

/// One that was made in this folder before.
pub fn hub_of(home: &Home, data: &str, listen: &str) -> Dev {
    let args = ["hub", "serve", "--data", data, "--listen", listen, "--port", "0"];
    Dev::of(home.start(&args))
}

pub fn token(home: &Home, args: &[&str]) -> String {
    let args = [&["hub", "token", "create", "-o", "json"], args].concat();
    let made = home.run(&args).ends_with(0).json();
    made["token"].as_str().expect("a token").to_owned()
}

/// With a token that is made so.
pub fn join(home: &Home, site: &str, args: &[&str]) {
    let token = token(home, &[&["--site", site], args].concat());
    home.run_with_stdin(&["site", "join", "-", "--data", site], &token).ends_with(0);
}

pub fn serve(home: &Home, site: &str) -> Dev {
    Dev::of(home.start(&["site", "serve", "--port", "0", "--data", site]))
}

/// The same, when its line is up.
pub fn online(home: &Home, site: &str) -> Dev {
    let at_work = serve(home, site);
    until(home, site, |shown| shown["state"] == "online");
    at_work
}

/// The site, as the hub shows it, when it is so.
pub fn until(home: &Home, site: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    let began = Instant::now();
    loop {
        let shown = home.run(&["sites", "show", site, "-o", "json"]).ends_with(0).json();
        if is_so(&shown) {
            return shown;
        }
        assert!(began.elapsed() < HANG, "{shown}");
    }
}
