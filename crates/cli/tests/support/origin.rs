//! A server that hears requests byte by byte and says what it is told, byte by byte; and a client of the same kind.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// As in `super`: only turns a hang into a failure.
const HANG: Duration = Duration::from_secs(120);

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Heard {
    pub method: String,
    pub target: String,
    /// Names in lower case, in the order in which they came.
    pub headers: Vec<(String, Vec<u8>)>,
    /// Without the frames of its transfer.
    pub body: Vec<u8>,
    pub is_whole: bool,
}

pub struct Origin {
    pub url: String,
    heard: Receiver<Heard>,
}

impl Origin {
    /// One request a connection: `say` writes all of the answer.
    pub fn new(say: impl Fn(&Heard, &mut TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let (came, heard) = channel();
        let say = std::sync::Arc::new(say);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (came, say) = (came.clone(), std::sync::Arc::clone(&say));
                std::thread::spawn(move || {
                    let mut reader = BufReader::new(stream.try_clone().expect("a stream"));
                    let Some(request) = hear(&mut reader) else { return };
                    // Nobody may wait for it any more.
                    let _ = came.send(request.clone());
                    say(&request, &mut { stream });
                });
            }
        });
        Self { url, heard }
    }

    /// The next request.
    pub fn heard(&self) -> Heard {
        self.heard.recv_timeout(HANG).expect("a request in time")
    }

    /// How many have come that nobody has asked for.
    pub fn left(&self) -> usize {
        self.heard.try_iter().count()
    }
}

impl Heard {
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers.iter().find(|(it, _)| it == name).map(|(_, value)| &value[..])
    }
}

/// An answer as it came.
#[derive(Debug)]
pub struct Said {
    pub status: u16,
    pub headers: Vec<(String, Vec<u8>)>,
    pub body: Vec<u8>,
    /// Whether it ended as its head said.
    pub is_whole: bool,
}

/// Sends these bytes to the address, and reads the answer to its end.
pub fn exchange(url: &str, request: &[u8]) -> Said {
    read_answer(&mut BufReader::new(send(url, request)))
}

pub fn send(url: &str, request: &[u8]) -> TcpStream {
    let mut stream =
        TcpStream::connect(url.strip_prefix("http://").expect("an address")).expect("a site");
    stream.set_read_timeout(Some(HANG)).expect("a time");
    stream.write_all(request).expect("it takes them");
    stream
}

pub fn read_answer(reader: &mut BufReader<TcpStream>) -> Said {
    let (line, headers) = head(reader).expect("an answer");
    let status = line.split(' ').nth(1).and_then(|it| it.parse().ok()).expect("a status");
    let (body, is_whole) = body(reader, &headers, true);
    Said { status, headers, body, is_whole }
}

fn hear(reader: &mut BufReader<TcpStream>) -> Option<Heard> {
    let (line, headers) = head(reader)?;
    let mut words = line.split(' ').map(str::to_owned);
    let (method, target) = (words.next()?, words.next()?);
    let (body, is_whole) = body(reader, &headers, false);
    Some(Heard { method, target, headers, body, is_whole })
}

type Headers = Vec<(String, Vec<u8>)>;

fn head(reader: &mut BufReader<TcpStream>) -> Option<(String, Headers)> {
    let mut line = || {
        let mut line = Vec::new();
        let read = reader.read_until(b'\n', &mut line).ok()?;
        (read > 0).then(|| line.trim_ascii_end().to_vec())
    };
    let first = String::from_utf8(line()?).ok()?;
    let mut headers = Vec::new();
    loop {
        let line = line()?;
        if line.is_empty() {
            return Some((first, headers));
        }
        let at = line.iter().position(|byte| *byte == b':')?;
        let name = String::from_utf8_lossy(&line[..at]).to_ascii_lowercase();
        headers.push((name, line[at + 1..].trim_ascii_start().to_vec()));
    }
}

/// And whether it is whole. An answer without a length ends with its connection.
fn body(reader: &mut BufReader<TcpStream>, headers: &Headers, is_answer: bool) -> (Vec<u8>, bool) {
    let value = |name: &str| {
        let found = headers.iter().find(|(it, _)| it == name)?;
        String::from_utf8(found.1.clone()).ok()
    };
    let mut body = Vec::new();
    if value("transfer-encoding").is_some_and(|it| it == "chunked") {
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return (body, false);
            }
            let size = usize::from_str_radix(line.trim(), 16).expect("a size");
            let wanted = body.len() + size;
            let read = reader.by_ref().take(size as u64).read_to_end(&mut body);
            let mut end = [0; 2];
            if read.is_err() || body.len() < wanted || reader.read_exact(&mut end).is_err() {
                return (body, false);
            }
            if size == 0 {
                return (body, true);
            }
        }
    }
    match value("content-length").map(|it| it.parse::<u64>().expect("a length")) {
        Some(length) => {
            let read = reader.take(length).read_to_end(&mut body);
            let is_whole = read.is_ok() && body.len() as u64 == length;
            (body, is_whole)
        }
        None if is_answer => {
            let read = reader.read_to_end(&mut body);
            (body, read.is_ok())
        }
        None => (body, true),
    }
}
