//! The world outside: an HTTP server in the test's own process, which outlives every site and counts
//! requests and effects by idempotency key.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// As in `super`: only turns a hang into a failure.
const HANG: Duration = Duration::from_secs(120);

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    pub method: String,
    /// With the query.
    pub path: String,
    pub key: String,
    /// The header of that name.
    pub authorization: String,
    /// `x-api-key`
    pub api_key: String,
    pub body: String,
    /// The body as it came, which may be no text.
    pub bytes: Vec<u8>,
}

pub enum Answer {
    /// 200 with this JSON.
    Json(String),
    Status(u16),
    /// This status with this JSON.
    Said(u16, String),
    /// 200 with these server-sent events.
    Events(String),
    /// 401 with this challenge.
    Ask(&'static str),
    /// The request is taken and never answered. The other end's close is told to [`World::closed`].
    Silence,
}

/// Gone with the test's process.
pub struct World {
    pub url: String,
    requests: Receiver<Request>,
    closed: Receiver<Request>,
    effects: Arc<Mutex<Vec<Effect>>>,
}

/// What happened under one idempotency key: one effect, however many requests carry it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effect {
    pub key: String,
    pub path: String,
    pub requests: u32,
}

impl World {
    pub fn new(answer: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Self {
        Self::remembering(move |request, _| answer(request))
    }

    /// One whose answer depends on the effects so far, this request's included.
    pub fn remembering(
        answer: impl Fn(&Request, &[Effect]) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let (came, requests) = channel();
        let (went, closed) = channel();
        let effects = Arc::new(Mutex::new(Vec::new()));
        let served = Served { answer: Box::new(answer), came, went, effects: Arc::clone(&effects) };
        let served = Arc::new(served);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let served = Arc::clone(&served);
                // A connection that is cut off is no news here.
                std::thread::spawn(move || served.connection(stream).ok());
            }
        });
        Self { url, requests, closed, effects }
    }

    /// The next request.
    pub fn request(&self) -> Request {
        self.requests.recv_timeout(HANG).expect("a request in time")
    }

    /// Those that have come and were not asked for.
    pub fn requests(&self) -> Vec<Request> {
        self.requests.try_iter().collect()
    }

    /// The next request whose connection was closed while it was not answered.
    pub fn closed(&self) -> Request {
        self.closed.recv_timeout(HANG).expect("a close in time")
    }

    /// In the order of their first requests.
    pub fn effects(&self) -> Vec<Effect> {
        self.effects.lock().expect("no thread panicked").clone()
    }
}

/// Sees what was there before this request, too.
type Decide = dyn Fn(&Request, &[Effect]) -> Answer + Send + Sync;

struct Served {
    answer: Box<Decide>,
    came: Sender<Request>,
    went: Sender<Request>,
    effects: Arc<Mutex<Vec<Effect>>>,
}

impl Served {
    fn count(&self, request: &Request) -> Answer {
        let mut effects = self.effects.lock().expect("no thread panicked");
        match effects.iter_mut().find(|effect| effect.key == request.key) {
            Some(effect) => effect.requests += 1,
            None => {
                let (key, path) = (request.key.clone(), request.path.clone());
                effects.push(Effect { key, path, requests: 1 });
            }
        }
        // An answer may be held back, and others are asked meanwhile.
        let seen = effects.clone();
        drop(effects);
        (self.answer)(request, &seen)
    }

    fn connection(&self, stream: TcpStream) -> std::io::Result<()> {
        let mut reader = BufReader::new(stream.try_clone()?);
        let mut stream = stream;
        while let Some(request) = read(&mut reader)? {
            let answer = self.count(&request);
            // Nobody may wait for it any more.
            let _ = self.came.send(request.clone());
            let json = || "content-type: application/json\r\n".to_owned();
            let (status, headers, body) = match answer {
                Answer::Json(body) => (200, json(), body),
                Answer::Events(body) => (200, "content-type: text/event-stream\r\n".into(), body),
                Answer::Status(status) => (status, json(), "{}".to_owned()),
                Answer::Said(status, body) => (status, json(), body),
                Answer::Ask(how) => {
                    (401, format!("{}www-authenticate: {how}\r\n", json()), "{}".to_owned())
                }
                Answer::Silence => {
                    let mut rest = [0; 1];
                    while matches!(reader.read(&mut rest), Ok(read) if read > 0) {}
                    let _ = self.went.send(request);
                    return Ok(());
                }
            };
            write!(
                stream,
                "HTTP/1.1 {status} X\r\n{headers}content-length: {}\r\n\r\n{body}",
                body.len()
            )?;
            stream.flush()?;
        }
        Ok(())
    }
}

fn read(reader: &mut BufReader<TcpStream>) -> std::io::Result<Option<Request>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split(' ').map(str::to_owned);
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let (mut key, mut authorization, mut length) = (String::new(), String::new(), 0);
    let mut api_key = String::new();
    loop {
        let mut header = String::new();
        reader.read_line(&mut header)?;
        let Some((name, value)) = header.trim().split_once(':') else { break };
        match name.to_ascii_lowercase().as_str() {
            "authorization" => value.trim().clone_into(&mut authorization),
            "x-api-key" => value.trim().clone_into(&mut api_key),
            "idempotency-key" => value.trim().clone_into(&mut key),
            "content-length" => length = value.trim().parse().unwrap_or(0),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(Some(Request {
        method,
        path,
        key,
        authorization,
        api_key,
        body: String::from_utf8_lossy(&body).into_owned(),
        bytes: body,
    }))
}
