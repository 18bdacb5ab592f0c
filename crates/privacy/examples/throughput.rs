//! How fast protecting is, in time of one core (whatever else runs beside it):
//! `throughput [FILE of sentences as JSON lines]`.

use rustix::time::{ClockId, clock_gettime};

use privacy::{Action, Class, Confidence, Exempt, Guard, Names, Rules, Shield, Vault};
use serde_json::{Value, json};

const REPEATS: usize = 9;

fn main() {
    let sentences = match std::env::args().nth(1) {
        Some(file) => read(&file),
        None => vec![
            "My name is Ada, call me at (415) 555-0132 or write to ada@example.com.".to_owned(),
        ],
    };
    let text = sentences.join("\n");
    let bodies: Vec<String> = bodies(&text);
    let exempt = Exempt::new(&["model", "messages.*.role"]).expect("two paths");
    let all = Class::ALL[1..].iter().try_fold(Rules::none(), |rules, class| {
        rules.with(*class, Action::Pseudonymise, Confidence::Low)
    });
    let names: Vec<String> = (0..10_000).map(|i| format!("Qx{i:05} Zw{i}")).collect();
    let names = Names::new(names.iter().map(String::as_str)).expect("names");
    for (name, shield) in [
        ("standard rules", Shield::new(Rules::standard(), None)),
        ("all classes", Shield::new(all.expect("rules"), None)),
        ("standard rules, 10,000 names", Shield::new(Rules::standard(), Some(names.into()))),
    ] {
        println!("{name}:");
        report("text, whole", text.len(), || {
            shield.protect(&mut Vault::new(b"7"), &text).expect("protected").len()
        });
        report("text, by sentence", text.len(), || {
            let protect =
                |it: &String| shield.protect(&mut Vault::new(b"7"), it).expect("protected").len();
            sentences.iter().map(protect).sum()
        });
        report("chat bodies of 1 kB", bodies.iter().map(String::len).sum(), || {
            let protect = |body: &String| {
                let mut vault = Vault::new(b"7");
                shield.protect_json(&mut vault, body.as_bytes(), &exempt).expect("protected").len()
            };
            bodies.iter().map(protect).sum()
        });
        report("stream in pieces of 5 bytes", text.len(), || {
            let mut guard = Guard::new(shield.clone());
            let mut length = 0;
            let mut rest = text.as_str();
            while !rest.is_empty() {
                let cut =
                    (5..rest.len()).find(|at| rest.is_char_boundary(*at)).unwrap_or(rest.len());
                length += guard.push(&rest[..cut]).expect("released").len();
                rest = &rest[cut..];
            }
            length + guard.finish().expect("released").len()
        });
    }
}

fn read(file: &str) -> Vec<String> {
    let text = std::fs::read_to_string(file).expect("the file can be read");
    let line =
        |line: &str| serde_json::from_str::<Value>(line).ok()?["text"].as_str().map(str::to_owned);
    text.lines().filter_map(line).collect()
}

/// Requests as a chat sends them, about 1 kB each.
fn bodies(text: &str) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    let body = |piece: &[char]| {
        let content: String = piece.iter().collect();
        json!({ "model": "chat-small", "stream": true, "max_tokens": 256, "messages": [
            { "role": "system", "content": "You answer briefly." },
            { "role": "user", "content": content },
        ] })
        .to_string()
    };
    chars.chunks(850).map(body).collect()
}

fn processor_seconds() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// Megabytes in a second: the slowest of some repeats, and the median.
fn report(name: &str, bytes: usize, mut work: impl FnMut() -> usize) {
    let mut speeds: Vec<f64> = (0..REPEATS)
        .map(|_| {
            let rounds = 1 + 4_000_000 / bytes.max(1);
            let start = processor_seconds();
            for _ in 0..rounds {
                std::hint::black_box(work());
            }
            (bytes * rounds) as f64 / 1e6 / (processor_seconds() - start)
        })
        .collect();
    speeds.sort_by(f64::total_cmp);
    println!("  {name}: min {:.0}, median {:.0} MB/s", speeds[0], speeds[REPEATS / 2]);
}
