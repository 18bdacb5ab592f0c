//! The services that the kit and the examples call, played by the test: one server for all hosts,
//! told apart by the request's `Host`, which the egress map leaves as it was.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

/// Every host that is played.
pub const HOSTS: [&str; 14] = [
    "https://petstore.swagger.io",
    "https://httpbin.org",
    "https://swapi.dev",
    "https://superbet-casinos.com",
    "https://fake-hospital.com",
    "https://fake-chat-api.com",
    "https://virtual-wf-powered-race.com",
    "https://hospital.example.com",
    "https://example.com",
    "https://external-service.example.com",
    "https://fake.com",
    "https://raw.githubusercontent.com",
    "http://myorg.io",
    "http://keycloak",
];

#[derive(Debug, Clone, Default)]
pub struct Request {
    pub method: String,
    pub host: String,
    /// Without the query.
    pub path: String,
    pub query: String,
    pub authorization: String,
    pub body: String,
}

pub struct StandIn {
    pub url: String,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl StandIn {
    pub fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let seen = Arc::clone(&seen);
                // A connection that is cut off is no news here.
                std::thread::spawn(move || serve(stream, &seen).ok());
            }
        });
        Self { url, requests }
    }

    /// The site's configuration: every host that is played, and nothing else.
    pub fn config(&self) -> String {
        let mut text = "spec:\n  egress:\n".to_owned();
        for host in HOSTS {
            writeln!(text, "    - {{destination: '{host}', to: '{}'}}", self.url)
                .expect("writing to a string");
        }
        text
    }

    /// What was asked since the last time.
    pub fn take(&self) -> Vec<Request> {
        std::mem::take(&mut *self.requests.lock().expect("no thread panicked"))
    }
}

fn serve(stream: TcpStream, seen: &Mutex<Vec<Request>>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut stream = stream;
    while let Some(request) = read(&mut reader)? {
        let (status, body) = answer(&request);
        seen.lock().expect("no thread panicked").push(request);
        let body = body.to_string();
        write!(
            stream,
            "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )?;
        stream.flush()?;
    }
    Ok(())
}

fn read(reader: &mut BufReader<TcpStream>) -> std::io::Result<Option<Request>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split(' ');
    let method = words.next().unwrap_or_default().to_owned();
    let target = words.next().unwrap_or_default();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let (path, query) = (path.to_owned(), query.to_owned());
    let mut request = Request { method, path, query, ..Request::default() };
    let mut length = 0;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header)?;
        let Some((name, value)) = header.trim().split_once(':') else { break };
        let value = value.trim();
        match name.to_ascii_lowercase().as_str() {
            "host" => value.clone_into(&mut request.host),
            "authorization" => value.clone_into(&mut request.authorization),
            "content-length" => length = value.parse().unwrap_or(0),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    request.body = String::from_utf8_lossy(&body).into_owned();
    Ok(Some(request))
}

fn answer(request: &Request) -> (u16, Value) {
    let parts: Vec<&str> = request.path.trim_matches('/').split('/').collect();
    match (request.host.as_str(), request.method.as_str(), parts.as_slice()) {
        ("petstore.swagger.io", "GET", ["v2", "swagger.json"]) => (200, petstore()),
        ("petstore.swagger.io", "GET", ["v2", "pet", "findByStatus"]) => {
            match request.query.as_str() {
                "status=available" => (200, json!([pet(1), pet(2), pet(3)])),
                _ => (400, json!({"message": "which status?"})),
            }
        }
        ("petstore.swagger.io", method, ["v2", "pet", id]) => match (method, id.parse::<u32>()) {
            ("GET" | "PUT", Ok(id)) => (200, pet(id)),
            _ => (404, json!({"message": "no such pet"})),
        },
        ("httpbin.org", "GET", ["basic-auth", user, password]) => {
            let wanted = format!("Basic {}", base64(&format!("{user}:{password}")));
            match request.authorization == wanted {
                true => (200, json!({"authenticated": true, "user": user})),
                false => (401, Value::Null),
            }
        }
        ("swapi.dev", "GET", ["api", "people"]) => {
            (200, json!({"count": 1, "results": [{"name": "Luke Skywalker"}]}))
        }
        ("swapi.dev", "GET", ["api", "people", "1"]) => (
            200,
            json!({"name": "Luke Skywalker", "homeworld": "https://swapi.dev/api/planets/1/"}),
        ),
        ("swapi.dev", "GET", ["api", "planets", "1"]) => (200, json!({"name": "Tatooine"})),
        (
            "keycloak",
            "GET",
            ["realms", "fake-authority", ".well-known", "openid-configuration"],
        ) => {
            let base = "http://keycloak/realms/fake-authority";
            (200, json!({"issuer": base, "token_endpoint": format!("{base}/oauth2/token")}))
        }
        ("keycloak", "POST", ["realms", "fake-authority", ..]) => {
            (200, json!({"access_token": "a-token", "token_type": "Bearer", "expires_in": 300}))
        }
        ("myorg.io", "GET", ["ordersservices.json"]) => (200, orders()),
        ("raw.githubusercontent.com", "GET", [.., "function.yaml"]) => {
            (200, json!({"set": {"logged": "${ .message }"}}))
        }
        ("external-service.example.com", ..) => (503, json!({"message": "not today"})),
        ("petstore.swagger.io" | "httpbin.org" | "swapi.dev" | "keycloak", ..) => {
            (404, json!({"message": "not played"}))
        }
        _ => (200, json!({"host": request.host, "path": request.path})),
    }
}

fn pet(id: u32) -> Value {
    // The real one has no `petId`; some examples go on as if it had.
    json!({"id": id, "petId": id, "name": format!("pet {id}"), "status": "available"})
}

/// As the real one: Swagger 2.0.
fn petstore() -> Value {
    json!({
        "swagger": "2.0",
        "info": {"title": "Petstore", "version": "1.0.0"},
        "host": "petstore.swagger.io",
        "basePath": "/v2",
        "schemes": ["https"],
        "paths": {
            "/pet/findByStatus": {"get": {
                "operationId": "findPetsByStatus",
                "produces": ["application/json"],
                "parameters": [{"name": "status", "in": "query", "required": true, "type": "array",
                    "items": {"type": "string"}, "collectionFormat": "multi"}],
                "responses": {"200": {"description": "pets"}},
            }},
            "/pet/{petId}": {"get": {
                "operationId": "getPetById",
                "produces": ["application/json"],
                "parameters": [
                    {"name": "petId", "in": "path", "required": true, "type": "integer", "format": "int64"},
                ],
                "responses": {"200": {"description": "a pet"}},
            }},
        },
    })
}

fn orders() -> Value {
    let operation = |name: &str| json!({"post": {"operationId": name, "responses": {"200": {"description": "done"}}}});
    json!({
        "openapi": "3.0.3",
        "info": {"title": "Orders", "version": "1.0.0"},
        "servers": [{"url": "http://myorg.io/orders"}],
        "paths": {"/log": operation("logreading"), "/report": operation("produceReport")},
    })
}

/// RFC 4648, section 4.
fn base64(text: &str) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for three in text.as_bytes().chunks(3) {
        let at = |index: usize| u32::from(three.get(index).copied().unwrap_or(0));
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        for digit in 0..4 {
            let place = (bits >> (18 - 6 * digit)) & 63;
            let is_there = digit <= three.len();
            out.push(if is_there { char::from(DIGITS[place as usize]) } else { '=' });
        }
    }
    out
}

/// Mutation: pad with zeros, or not at all.
#[test]
fn base64_is_that_of_the_standard() {
    for (text, expected) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foobar", "Zm9vYmFy")] {
        assert_eq!(base64(text), expected);
    }
}
