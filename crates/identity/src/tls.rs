//! TLS between site and hub: what each asks of the other.
//!
//! Both judge signatures here and times with care. A site's clock may be wrong by days, and must not
//! lock it out; a site that was away for a month has an expired certificate, and must still be able to
//! say who it is. So the hub takes expired ones, and whoever handles the connection decides what they
//! are good for.

use std::sync::Arc;

use base::Timestamp;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::version::TLS13;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error, RootCertStore,
    ServerConfig, SignatureScheme,
};

use crate::certificate::{Certificate, public_key};
use crate::key::{Key, Pin};
use crate::{GRACE, IdentityError};

/// The name in the certificate of every hub. Who it is follows from the root; where it is may change.
pub(crate) const HUB_SERVER_NAME: &str = "hub";

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn failed(error: impl ToString) -> IdentityError {
    IdentityError::Tls(error.to_string())
}

fn private(key: &Key) -> PrivateKeyDer<'static> {
    PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.0.serialize_der()))
}

/// For the hub: whoever has a certificate of one of these authorities shows it, expired or not; others
/// come without one, and can do nothing but join.
pub fn hub_config(
    chain: Vec<CertificateDer<'static>>,
    key: &Key,
    authorities: &[CertificateDer<'static>],
) -> Result<ServerConfig, IdentityError> {
    let mut roots = RootCertStore::empty();
    for authority in authorities {
        roots.add(authority.clone()).map_err(failed)?;
    }
    let inner = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider())
        .allow_unauthenticated()
        .build()
        .map_err(failed)?;
    let verifier = Arc::new(SiteVerifier { inner });
    let builder = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .map_err(failed)?;
    let mut config = builder
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, private(key))
        .map_err(failed)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // A revoked site must not come back on a ticket, and ten thousand tickets are memory.
    config.send_tls13_tickets = 0;
    Ok(config)
}

/// For an API: those who come show a key of ours there, and no certificate.
pub fn api_config(
    chain: Vec<CertificateDer<'static>>,
    key: &Key,
) -> Result<ServerConfig, IdentityError> {
    server_config(chain, private(key)).map_err(failed)
}

pub(crate) fn server_config(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<ServerConfig, Error> {
    let builder = ServerConfig::builder_with_provider(provider());
    let builder = builder.with_safe_default_protocol_versions()?.with_no_client_auth();
    let mut config = builder.with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// For a site: only the hub below this root is spoken with. `now` is the later of the clock and of the
/// time that the site has seen.
pub fn site_config(
    root: Pin,
    identity: Option<(CertificateDer<'static>, &Key)>,
    now: Timestamp,
) -> Result<ClientConfig, IdentityError> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .map_err(failed)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(HubVerifier { root, now }));
    let mut config = match identity {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            builder.with_client_auth_cert(vec![certificate], private(key)).map_err(failed)?
        }
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.resumption = rustls::client::Resumption::disabled();
    Ok(config)
}

/// The time within a certificate's life that is nearest to `now`.
fn within(certificate: &Certificate, now: Timestamp) -> UnixTime {
    let at = now.clamp(certificate.not_before, certificate.not_after);
    let seconds = u64::try_from(at.as_millis().div_euclid(1000)).unwrap_or(0);
    UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds))
}

fn timestamp(at: UnixTime) -> Timestamp {
    Timestamp::from_millis(i64::try_from(at.as_secs()).unwrap_or(i64::MAX / 1000) * 1000)
}

const BAD: Error = Error::InvalidCertificate(CertificateError::BadEncoding);

/// Signed by an authority; when it ends is judged by whoever handles the connection.
#[derive(Debug)]
struct SiteVerifier {
    inner: Arc<dyn ClientCertVerifier>,
}

impl ClientCertVerifier for SiteVerifier {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        // A site has one certificate, and shows it without being told whose are known.
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let certificate = Certificate::read(end_entity).map_err(|_| BAD)?;
        let at = within(&certificate, timestamp(now));
        self.inner.verify_client_cert(end_entity, intermediates, at)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

/// The hub below a root that is known by its key. The hub shows the root with its own certificate.
#[derive(Debug)]
struct HubVerifier {
    root: Pin,
    now: Timestamp,
}

impl HubVerifier {
    fn verifier(&self, shown: &[CertificateDer<'_>]) -> Result<Arc<WebPkiServerVerifier>, Error> {
        let unknown = || Error::InvalidCertificate(CertificateError::UnknownIssuer);
        let is_root =
            |der: &&CertificateDer<'_>| public_key(der).is_some_and(|key| key.pin() == self.root);
        let root = shown.iter().find(is_root).ok_or_else(unknown)?;
        let mut roots = RootCertStore::empty();
        roots.add(root.clone().into_owned())?;
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider())
            .build()
            .map_err(|_| unknown())
    }
}

impl ServerCertVerifier for HubVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verifier = self.verifier(intermediates)?;
        let certificate = Certificate::read(end_entity).map_err(|_| BAD)?;
        let at = within(&certificate, self.now);
        if timestamp(at).as_millis().abs_diff(self.now.as_millis()) > GRACE.as_millis() {
            return Err(Error::InvalidCertificate(CertificateError::Expired));
        }
        let name = ServerName::try_from(HUB_SERVER_NAME).expect("a name");
        verifier.verify_server_cert(end_entity, intermediates, &name, ocsp_response, at)
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.3 only".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &provider().signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}
