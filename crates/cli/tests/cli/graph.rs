//! Branches that wait for each other overlap as far as they can: shown by servers' answers that are
//! held back until the other branch has asked.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};

use crate::support::{HANG, Home, document};

/// Who is asked, and whose answer waits for whose question. `c` follows `a` alone, `d` follows `a`
/// and `b`: the N. A runtime that works level by level answers `b` before it asks for `c`, and
/// hangs here.
const HELD_UNTIL: [(&str, &str); 4] = [("/a", "/b"), ("/b", "/c"), ("/c", "/d"), ("/d", "/d")];

const N: &str = "
  - n:
      fork:
        branches:
          - a: {call: http, with: {method: get, endpoint: WORLD/a}}
          - b: {call: http, with: {method: get, endpoint: WORLD/b}}
          - c: {metadata: {after: [a]}, call: http, with: {method: get, endpoint: WORLD/c}}
          - d: {metadata: {after: [a, b]}, call: http, with: {method: get, endpoint: WORLD/d}}
";

#[derive(Default)]
struct Asked {
    paths: Mutex<BTreeSet<String>>,
    news: Condvar,
}

impl Asked {
    /// Whether the other one was asked in time.
    fn meet(&self, path: &str) -> bool {
        let other = HELD_UNTIL.iter().find(|row| row.0 == path).map_or(path, |row| row.1);
        let mut paths = self.paths.lock().expect("no thread panicked");
        paths.insert(path.to_owned());
        self.news.notify_all();
        let waiting = |paths: &mut BTreeSet<String>| !paths.contains(other);
        let met = self.news.wait_timeout_while(paths, HANG / 4, waiting);
        !met.expect("no thread panicked").1.timed_out()
    }
}

fn serve(stream: TcpStream, asked: &Asked) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut stream = stream;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
        let mut header = line;
        while !header.trim().is_empty() {
            header.clear();
            reader.read_line(&mut header)?;
        }
        let status = if asked.meet(&path) { 200 } else { 400 };
        write!(stream, "HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n{path}", path.len())?;
        stream.flush()?;
    }
}

/// Mutation: begin `c` only when `b` has completed too, or `d` only when `c` has.
#[test]
fn an_n_shaped_graph_runs_with_full_overlap() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    let asked = Arc::new(Asked::default());
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let asked = Arc::clone(&asked);
            std::thread::spawn(move || serve(stream, &asked).ok());
        }
    });
    let home = Home::new();
    home.allow(&url);
    home.write("n.yaml", &document("n", N.replace("WORLD", &url).trim_start_matches('\n')));
    let ended = home.run(&["run", "n.yaml", "--local", "--config", ".isonomy/site.yaml"]);
    assert_eq!(ended.ends_with(0).json(), serde_json::json!(["/a", "/b", "/c", "/d"]));
}
