//! HTTPS that is answered: with a certificate that the system trusts, and with one that it does not.
//!
//! What the system trusts is said by the environment, and only a process of its own can have another
//! one; so the test starts itself again.

use std::process::Command;
use std::sync::Arc;

use isonomy_gateway::OutError;
use rcgen::{CertificateParams, CertifiedIssuer, KeyPair};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use crate::gate::{allow, ask, fails, gate, get};

/// Set for the test's second process: which port the server has.
const PORT: &str = "ISONOMY_TEST_TLS_PORT";
/// And whether the server's certificate is trusted there.
const TRUSTED: &str = "ISONOMY_TEST_TLS_TRUSTED";

/// A server for `localhost`, and the certificate of whoever vouches for it.
async fn server() -> (u16, String) {
    let mut authority = CertificateParams::new(Vec::new()).expect("no names");
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("a key");
    let authority = CertifiedIssuer::self_signed(authority, key).expect("an authority");
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
    let certificate = params.signed_by(&key, &authority).expect("a certificate");
    let private = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], private)
        .expect("a certificate with its key");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // A client that does not trust the certificate breaks off here.
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut head = [0; 4096];
            let _ = stream.read(&mut head).await;
            let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\nsecure";
            let _ = stream.write_all(answer).await;
            let _ = stream.shutdown().await;
        }
    });
    (port, authority.pem())
}

/// Mutation: take the client without certificates for HTTPS, or one that trusts everybody.
#[tokio::test]
async fn https_works_with_a_trusted_certificate_and_with_no_other() {
    if let (Ok(port), Ok(trusted)) = (std::env::var(PORT), std::env::var(TRUSTED)) {
        asks(&format!("https://localhost:{port}/"), trusted == "yes").await;
        return;
    }
    let (port, authority) = server().await;
    let folder = tempfile::tempdir().expect("a folder");
    let trusted = folder.path().join("trusted.pem");
    std::fs::write(&trusted, authority).expect("a file");
    let (_, stranger) = server().await;
    let other = folder.path().join("other.pem");
    std::fs::write(&other, stranger).expect("a file");
    for (file, is_trusted) in [(trusted, "yes"), (other, "no")] {
        let program = std::env::current_exe().expect("this test");
        let mut again = Command::new(program);
        again
            .args(["--exact", "tls::https_works_with_a_trusted_certificate_and_with_no_other"])
            .env(PORT, port.to_string())
            .env(TRUSTED, is_trusted)
            .env("SSL_CERT_FILE", file)
            .env_remove("SSL_CERT_DIR");
        let ended = tokio::task::spawn_blocking(move || again.output()).await.expect("not cut off");
        let ended = ended.expect("a process");
        let said = String::from_utf8_lossy(&ended.stdout);
        assert!(ended.status.success() && said.contains("1 passed"), "{is_trusted}: {said}");
    }
}

async fn asks(address: &str, is_trusted: bool) {
    let gate = gate(vec![allow("https://localhost:*"), allow("https://*:*")]);
    if is_trusted {
        let answer = ask(&gate, get(address)).await.result.expect("a trusted server");
        assert_eq!(&*answer.body, b"secure");
    } else {
        let error = fails(&gate, get(address)).await;
        assert!(matches!(error, OutError::NotSent { .. }), "{error:?}");
        assert!(error.to_string().contains("certificate"), "{error}");
    }
}
