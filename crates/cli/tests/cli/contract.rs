//! The JSON of every list and show, compared whole with stored texts: a stable contract.

use std::collections::HashMap;

use crate::support::world::{Answer, World};
use crate::support::{Home, document, golden};

/// Mutation: rename, drop, or reorder a field anywhere between the store and stdout.
#[test]
fn the_json_of_every_list_and_show_is_a_contract() {
    let home = Home::new();
    let world = World::new(|_| Answer::Status(404));
    home.allow(&world.url);
    let tasks = format!(
        "  - greet:\n      set: {{ greeting: '${{ \"Hello, \" + .name }}' }}\n  - fetch:\n      call: http\n      with: {{ method: post, endpoint: {}/x, body: {{ a: 1 }} }}\n",
        world.url
    );
    home.write(
        "hello.yaml",
        &document("hello", "  - greet:\n      set: { greeting: '${ .name }' }\n"),
    );
    home.write("fault.yaml", &document("fault", &tasks));
    let _dev = home.dev();
    let mut masked = Masked { world: world.url.clone(), names: HashMap::new() };
    let mut check = |name: &str, args: &[&str], code: i32| {
        let ended = home.run(args).ends_with(code);
        golden(name, &masked.mask(&ended.stdout));
        ended
    };
    check("apply-dry-run.json", &["apply", "-f", "hello.yaml", "--dry-run", "-o", "json"], 0);
    check("apply.json", &["apply", "-f", "hello.yaml", "--yes", "-o", "json"], 0);
    let hello = check(
        "run.json",
        &["run", "hello", "-i", "name=Ada", "--tag", "a=b", "--label", "health", "--reason", "why"],
        0,
    )
    .run_id();
    let fault = check("run-faulted.json", &["run", "fault.yaml", "-i", "name=Ada"], 1).run_id();
    check("runs-list.json", &["runs", "list", "-o", "json"], 0);
    check("runs-list-page.json", &["runs", "-o", "json", "--limit", "1"], 0);
    check("runs-show.json", &["runs", "show", &hello, "-o", "json"], 0);
    check("runs-show-faulted.json", &["runs", "show", &fault, "-o", "json"], 0);
    check("runs-show-faulted.yaml", &["runs", "show", &fault, "-o", "yaml"], 0);
    check("runs-events.json", &["runs", "events", &fault, "-o", "json"], 0);
    check("runs-follow.json", &["runs", "follow", &fault, "-o", "json"], 1);
    check("workflows-list.json", &["workflows", "-o", "json"], 0);
    check("workflows-show.json", &["workflows", "show", "hello", "-o", "json"], 0);
    check("version.json", &["version", "-o", "json"], 0);
}

/// What differs from one time to the next stands as its kind and number.
struct Masked {
    world: String,
    names: HashMap<String, String>,
}

impl Masked {
    fn mask(&mut self, text: &str) -> String {
        let text = text.replace(&self.world, "WORLD").replace(env!("CARGO_PKG_VERSION"), "VERSION");
        let mut masked = String::new();
        let mut word = String::new();
        for c in text.chars() {
            if c.is_ascii_alphanumeric() || "_-:.+".contains(c) {
                word.push(c);
            } else {
                masked.push_str(&self.word(&std::mem::take(&mut word)));
                masked.push(c);
            }
        }
        masked.push_str(&self.word(&word));
        masked
    }

    fn word(&mut self, word: &str) -> String {
        let hex = |text: &str, length: usize| {
            text.len() == length && text.bytes().all(|byte| byte.is_ascii_hexdigit())
        };
        // A key of YAML has its colon in the word.
        let (word, end) = word.strip_suffix(':').map_or((word, ""), |word| (word, ":"));
        let kind = if let Some(rest) = word.strip_prefix("run_").filter(|rest| rest.len() >= 36) {
            let number = self.number("RUN", &word[.."run_".len() + 36]);
            return format!("{number}{}{end}", &rest[36..]);
        } else if word.len() == 24 && word.ends_with('Z') && word.as_bytes()[10] == b'T' {
            return format!("TIME{end}");
        } else if word.strip_prefix("b3:").is_some_and(|rest| hex(rest, 64)) {
            "DIGEST"
        } else if word.len() == 55 && word.starts_with("00-") {
            return format!("TRACE{end}");
        } else if let Some((key, answers)) = word.rsplit_once('-').filter(|(key, _)| hex(key, 32)) {
            return format!("{}-{answers}{end}", self.number("KEY", key));
        } else if hex(word, 16) && word.bytes().any(|byte| byte.is_ascii_digit()) {
            return format!("CONTROL{end}");
        } else {
            return format!("{word}{end}");
        };
        format!("{}{end}", self.number(kind, word))
    }

    fn number(&mut self, kind: &str, word: &str) -> String {
        let next = self.names.len() + 1;
        self.names.entry(word.to_owned()).or_insert_with(|| format!("{kind}-{next}")).clone()
    }
}
