//! Files of models at addresses: fetched by the site, through its egress, and only the file that was meant.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::{fs, thread};

use sha2::{Digest as _, Sha256};
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::support::http::ask;
use crate::support::{Ended, Home};

fn file() -> Vec<u8> {
    let path = "../../testing/models/tumour-risk/tumour-risk.onnx";
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).expect("the example")
}

fn digest(file: &[u8]) -> String {
    let hex: String = Sha256::digest(file).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

trait Line: Read + Write {}

impl<T: Read + Write> Line for T {}

/// A server of files, over TLS where it has a certificate. The first `broken` answers of `/cut` end in the middle.
struct Files {
    port: u16,
    asked: Arc<AtomicUsize>,
    held: Arc<Mutex<Vec<Box<dyn Line + Send>>>>,
}

impl Files {
    fn start(tls: Option<Arc<ServerConfig>>, broken: usize, elsewhere: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let asked = Arc::new(AtomicUsize::new(0));
        let held: Arc<Mutex<Vec<Box<dyn Line + Send>>>> = Arc::default();
        let (counts, holds) = (Arc::clone(&asked), Arc::clone(&held));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let mut line: Box<dyn Line + Send> = match &tls {
                    None => Box::new(stream),
                    Some(tls) => {
                        let session = ServerConnection::new(Arc::clone(tls)).expect("a session");
                        Box::new(StreamOwned::<_, TcpStream>::new(session, stream))
                    }
                };
                let Some(path) = path(&mut line) else { continue };
                let times = counts.fetch_add(1, Ordering::SeqCst);
                let file = file();
                let head = |length: usize| {
                    format!(
                        "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n"
                    )
                };
                let half = &file[..file.len() / 2];
                let sent = match path.as_str() {
                    "/cut.onnx" if times < broken => [head(file.len()).as_bytes(), half].concat(),
                    "/hang.onnx" => {
                        let sent = [head(file.len()).as_bytes(), half].concat();
                        line.write_all(&sent).and_then(|()| line.flush()).ok();
                        holds.lock().expect("no panic").push(line);
                        continue;
                    }
                    "/large.onnx" => head(300 << 20).into_bytes(),
                    "/away.onnx" => {
                        let to = format!(
                            "HTTP/1.1 302 Found\r\nconnection: close\r\nlocation: {elsewhere}\r\ncontent-length: 0\r\n\r\n"
                        );
                        to.into_bytes()
                    }
                    "/none.onnx" => {
                        b"HTTP/1.1 404 Not Found\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
                            .to_vec()
                    }
                    _ => [head(file.len()).as_bytes(), &file].concat(),
                };
                line.write_all(&sent).and_then(|()| line.flush()).ok();
            }
        });
        Self { port, asked, held }
    }

    fn asked(&self) -> usize {
        self.asked.swap(0, Ordering::SeqCst)
    }
}

/// Which path is asked for.
fn path(line: &mut impl Read) -> Option<String> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        line.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).ok()?;
    let path = head.split(' ').nth(1)?;
    Some(path.split('?').next()?.to_owned())
}

/// A server's certificate for `localhost`, and that of whoever vouches for it.
fn certificate() -> (Arc<ServerConfig>, String) {
    let key = rcgen::KeyPair::generate().expect("a key");
    let mut params = rcgen::CertificateParams::default();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let root = params.self_signed(&key).expect("a certificate");
    let authority = rcgen::Issuer::new(params, key);
    let key = rcgen::KeyPair::generate().expect("a key");
    let params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
    let certificate = params.signed_by(&key, &authority).expect("a certificate");
    let private = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider);
    let config = config.with_safe_default_protocol_versions().expect("versions");
    let config =
        config.with_no_client_auth().with_single_cert(vec![certificate.der().clone()], private);
    (Arc::new(config.expect("a certificate with its key")), root.pem())
}

fn add(home: &Home, name: &str, url: &str, more: &[&str]) -> Ended {
    home.run(&[&["models", "add", name, url], more].concat())
}

fn add_file(home: &Home, name: &str, url: &str) -> Ended {
    add(home, name, url, &["--digest", &digest(&file())])
}

/// Mutation: take a file whose digest is another, or say which one it has; take half a file; follow a redirect to
/// where no rule leads; or fetch without a limit.
#[test]
fn a_file_at_an_address_is_taken_where_it_is_the_one_that_was_meant() {
    let home = Home::new();
    let inside = Files::start(None, 0, String::new());
    let files = Files::start(None, 2, format!("http://127.0.0.1:{}/m.onnx", inside.port));
    let at = format!("http://127.0.0.1:{}", files.port);
    home.allow(&at);
    let dev = home.dev();
    let said = add(&home, "m@1", &format!("{at}/m.onnx"), &[]).ends_with(2).stderr;
    assert!(said.contains("--digest sha256:"), "{said}");
    let said = add(&home, "m", &format!("{at}/v1"), &["--digest", "sha256:00"]).ends_with(2).stderr;
    assert!(said.contains("`--artifact`"), "{said}");
    add(&home, "m", &format!("{at}/m.gguf?x"), &["--digest", "sha256:00"]).ends_with(2);
    assert_eq!(files.asked(), 0);

    let other = digest(b"another");
    let said = add(&home, "m@1", &format!("{at}/m.onnx?token=open-sesame"), &["--digest", &other]);
    let said = said.ends_with(2).stderr;
    assert!(said.contains("another file") && said.contains("nothing of it is kept"), "{said}");
    for untold in ["open-sesame", &digest(&file())[7..], &base::Digest::of(&file()).to_string()] {
        assert!(!said.contains(untold), "{said}");
    }
    assert_eq!(files.asked(), 1);
    for (path, wanted) in [
        ("none", "it answers 404"),
        ("large", "larger than 256 MiB"),
        (
            "away",
            &format!("no rule of the site's egress map allows `http://127.0.0.1:{}`", inside.port),
        ),
    ] {
        let said = add_file(&home, "m@1", &format!("{at}/{path}.onnx")).ends_with(2).stderr;
        assert!(said.contains(wanted), "{wanted}: {said}");
        assert_eq!(files.asked(), 1, "{path}");
    }
    assert_eq!(inside.asked(), 0);
    assert!(
        home.run(&["models", "-o", "json"]).ends_with(0).json()["items"]
            .as_array()
            .expect("items")
            .is_empty()
    );

    // Twice in the middle, and then whole. What is not whole thrice is not taken.
    add_file(&home, "m@1", &format!("{at}/cut.onnx")).ends_with(0);
    assert_eq!(files.asked(), 3);
    let input = serde_json::json!({"name": "features", "shape": [1, 30], "datatype": "FP32", "data": vec![0.5; 30]});
    let body = serde_json::json!({ "inputs": [input] });
    assert_eq!(
        ask(&dev.door(), "POST", "/v2/models/m/infer", &body).expect("an answer").status,
        200
    );
    add(&home, "m@2", &format!("{at}/download"), &["--artifact", "--digest", &digest(&file())])
        .ends_with(0);
}

/// Mutation: leave a part of a file behind when the site is killed in the middle of it, or take it half.
#[test]
fn a_site_that_is_killed_in_the_middle_of_a_file_has_nothing_of_it() {
    let home = Home::new();
    let files = Files::start(None, 0, String::new());
    let at = format!("http://127.0.0.1:{}", files.port);
    home.allow(&at);
    let dev = home.dev();
    let url = format!("{at}/hang.onnx");
    let adding = home.start(&["models", "add", "m@1", &url, "--digest", &digest(&file())]);
    while files.held.lock().expect("no panic").is_empty() {
        thread::yield_now();
    }
    dev.kill();
    assert_ne!(adding.end().code, 0);
    let _dev = home.dev();
    assert!(home.temporary_files().is_empty(), "{:?}", home.temporary_files());
    assert!(
        home.run(&["models", "-o", "json"]).ends_with(0).json()["items"]
            .as_array()
            .expect("items")
            .is_empty()
    );
    add_file(&home, "m@1", &format!("{at}/m.onnx")).ends_with(0);
}

/// Mutation: trust any certificate.
#[test]
fn a_file_comes_over_tls_from_whom_the_system_trusts() {
    let (tls, root) = certificate();
    let files = Files::start(Some(tls), 0, String::new());
    let at = format!("https://localhost:{}", files.port);
    for is_trusted in [true, false] {
        let home = Home::new();
        home.allow(&at);
        let (_, other) = certificate();
        let roots = home.write("roots.pem", if is_trusted { &root } else { &other });
        let roots = roots.to_str().expect("text").to_owned();
        let _dev = home.dev_with(&[], &[("SSL_CERT_FILE", &roots), ("SSL_CERT_DIR", "")]);
        let ended = add_file(&home, "m@1", &format!("{at}/m.onnx"));
        assert_eq!(ended.code == 0, is_trusted, "{}", ended.stderr);
    }
}
