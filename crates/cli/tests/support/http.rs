//! Requests to a server without the command line: one connection each, one after another.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;

use serde_json::Value;

#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub body: Value,
}

/// Where a server is, and the key that is shown there.
#[derive(Debug, Clone)]
pub struct Door {
    pub url: String,
    pub key: Option<String>,
}

/// Asks, and waits for the whole answer. The path begins with `/`.
pub fn ask(door: &Door, method: &str, path: &str, body: &Value) -> std::io::Result<Reply> {
    ask_with(door, "", method, path, body)
}

/// The same, with headers beside, each with its end of line.
pub fn ask_with(
    door: &Door,
    headers: &str,
    method: &str,
    path: &str,
    body: &Value,
) -> std::io::Result<Reply> {
    let (status, text) = answer(door, headers, method, path, body)?;
    Ok(Reply { status, body: serde_json::from_str(&text).unwrap_or_default() })
}

/// An answer that is no JSON, of a request that is well.
pub fn text(door: &Door, path: &str) -> std::io::Result<String> {
    let (status, text) = answer(door, "", "GET", path, &Value::Null)?;
    assert_eq!(status, 200, "{text}");
    Ok(text)
}

fn answer(
    door: &Door,
    headers: &str,
    method: &str,
    path: &str,
    body: &Value,
) -> std::io::Result<(u16, String)> {
    let mut reader = send(door, headers, method, path, body)?;
    let status = head(&mut reader)?;
    let mut text = String::new();
    reader.read_to_string(&mut text)?;
    Ok((status, text))
}

/// A stream of events that was begun. Nothing is read of it but what the system takes by itself.
pub fn follow(door: &Door, path: &str) -> std::io::Result<impl Iterator<Item = String> + use<>> {
    let mut reader = send(door, "", "GET", path, &Value::Null)?;
    let status = head(&mut reader)?;
    assert_eq!(status, 200, "{path}");
    let lines = reader.lines().map_while(Result::ok);
    Ok(lines.filter_map(|line| line.strip_prefix("data: ").map(str::to_owned)))
}

fn send(
    door: &Door,
    headers: &str,
    method: &str,
    path: &str,
    body: &Value,
) -> std::io::Result<BufReader<TcpStream>> {
    let host = door.url.strip_prefix("http://").expect("the address of a site");
    let mut stream = TcpStream::connect(host)?;
    let (kind, body) = match body {
        Value::Null => ("", String::new()),
        Value::Object(event) if event.contains_key("specversion") => {
            ("content-type: application/cloudevents+json\r\n", body.to_string())
        }
        Value::Array(_) => {
            ("content-type: application/cloudevents-batch+json\r\n", body.to_string())
        }
        _ => ("content-type: application/json\r\n", body.to_string()),
    };
    let length = body.len();
    let key = door.key.as_ref();
    let key = key.map_or_else(String::new, |key| format!("authorization: Bearer {key}\r\n"));
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n{key}{kind}{headers}content-length: {length}\r\n\r\n{body}"
    )?;
    Ok(BufReader::new(stream))
}

/// Reads up to the body.
fn head(reader: &mut BufReader<TcpStream>) -> std::io::Result<u16> {
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let status = line.split(' ').nth(1).and_then(|word| word.parse().ok());
    while line.trim_end() != "" {
        line.clear();
        reader.read_line(&mut line)?;
    }
    status.ok_or_else(|| std::io::Error::other("the connection was closed before an answer"))
}
