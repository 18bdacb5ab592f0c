//! A connection that is kept alive: the least of HTTP/1.1 that measures a server and not its client.
//!
//! Both ends are ours: an answer without `content-length` is an error here, not a case.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, bail, ensure};

/// Nothing that is measured takes so long; a server that hangs must not hang the measurement.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(90);

/// More than any answer here has.
const BODY_BYTES_MAX: usize = 16 * 1024 * 1024;

pub struct Connection {
    stream: BufReader<TcpStream>,
    host: String,
    /// A header of every request, with its line end.
    authorization: String,
    line: String,
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub body: Vec<u8>,
}

impl Connection {
    /// `host` is address and port, and `key` what the server takes.
    pub fn open(host: &str, key: &str) -> anyhow::Result<Self> {
        let authorization = format!("authorization: Bearer {key}\r\n");
        let stream =
            TcpStream::connect(host).with_context(|| format!("cannot connect to {host}"))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER_TIME_MAX))?;
        let (stream, host) = (BufReader::new(stream), host.to_owned());
        Ok(Self { stream, host, authorization, line: String::new() })
    }

    /// The bytes of a request, to be sent many times.
    #[must_use]
    pub fn request(&self, method: &str, path: &str, body: &str) -> Vec<u8> {
        let (host, key, length) = (&self.host, &self.authorization, body.len());
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n{key}\r\n"
        );
        (head + body).into_bytes()
    }

    pub fn send(&mut self, request: &[u8]) -> anyhow::Result<Answer> {
        self.stream.get_mut().write_all(request).context("cannot send a request")?;
        let status = self.next_line()?.split(' ').nth(1).and_then(|text| text.parse().ok());
        let status = status.context("the answer has no status")?;
        let mut length = None;
        loop {
            let line = self.next_line()?;
            if line.is_empty() {
                break;
            }
            let Some((name, value)) = line.split_once(':') else { bail!("not a header: `{line}`") };
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse().ok();
            }
        }
        let length: usize = length.context("the answer has no length")?;
        ensure!(length <= BODY_BYTES_MAX, "an answer of {length} bytes");
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).context("the answer ends too early")?;
        Ok(Answer { status, body })
    }

    fn next_line(&mut self) -> anyhow::Result<&str> {
        self.line.clear();
        let read = self.stream.read_line(&mut self.line).context("no answer")?;
        ensure!(read > 0, "the connection was closed");
        Ok(self.line.trim_end())
    }
}

impl Answer {
    /// The body of a success.
    pub fn success(self, what: &str) -> anyhow::Result<Vec<u8>> {
        let is_success = (200..300).contains(&self.status);
        ensure!(is_success, "{what}: {} {}", self.status, beginning(&self.body));
        Ok(self.body)
    }
}

/// Enough of a text to see what it is.
#[must_use]
pub fn beginning(body: &[u8]) -> String {
    String::from_utf8_lossy(body).chars().take(400).collect()
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn answered(answer: &'static str) -> anyhow::Result<Answer> {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let host = listener.local_addr().expect("a bound port").to_string();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a client");
            let mut request = [0; 1024];
            let read = stream.read(&mut request).expect("a request");
            stream.write_all(answer.as_bytes()).expect("a client that reads");
            String::from_utf8_lossy(&request[..read]).into_owned()
        });
        let mut connection = Connection::open(&host, "key").expect("a server");
        let request = connection.request("POST", "/runs?wait=1", "{}");
        let answer = connection.send(&request);
        let asked = server.join().expect("a server that ends");
        assert!(
            asked.starts_with("POST /runs?wait=1 HTTP/1.1\r\n") && asked.ends_with("\r\n\r\n{}")
        );
        answer
    }

    /// Mutation: take a refusal for a success, or read to the end of the connection.
    #[test]
    fn an_answer_is_read_by_its_length_and_judged_by_its_status() {
        let answer =
            answered("HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\n{}more").expect("an answer");
        assert_eq!((answer.status, answer.body.as_slice()), (201, b"{}".as_slice()));
        let refused =
            answered("HTTP/1.1 429 Busy\r\ncontent-length: 4\r\n\r\nbusy").expect("an answer");
        assert_eq!(
            refused.success("start").map_err(|it| it.to_string()),
            Err("start: 429 busy".to_owned())
        );
        assert!(answered("HTTP/1.1 200 OK\r\n\r\n").is_err());
        assert!(answered("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nshort").is_err());
    }
}
