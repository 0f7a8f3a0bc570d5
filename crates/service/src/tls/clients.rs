//! Certificates of clients.

use std::sync::Arc;

use brim_config::{ClientCert, TlsKeys};
use ring::digest::{Algorithm, SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;

use super::pair;

/// The certificate that a client has shown, and that was found good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    fingerprint: Box<str>,
    sha1: Box<str>,
    subject: Box<str>,
}

impl ClientCertificate {
    /// The SHA-256 of the whole certificate in hex digits, lower-case.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// The SHA-1 of the whole certificate in hex digits, upper-case: what Mongrel2's handlers know it by.
    pub fn sha1(&self) -> &str {
        &self.sha1
    }

    /// The subject's distinguished name, as in `C=DE, O=Example, CN=alice`.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// The one of this encoding.
    pub fn of(certificate: &CertificateDer<'_>) -> Self {
        let hex = |algorithm: &'static Algorithm| {
            let digest = digest(algorithm, certificate);
            digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect::<String>()
        };
        let sha1 = hex(&SHA1_FOR_LEGACY_USE_ONLY).to_uppercase().into();
        let parsed = x509_parser::parse_x509_certificate(certificate);
        let subject = parsed.map(|(_, parsed)| parsed.subject().to_string()).unwrap_or_default();
        Self { fingerprint: hex(&SHA256).into(), sha1, subject: subject.into() }
    }
}

/// Who sees whether a client's certificate is good; `None` where nobody asks for one.
pub(crate) fn verifier(keys: &TlsKeys) -> Result<Option<Arc<dyn ClientCertVerifier>>, String> {
    let file = match (&keys.client_ca, keys.client_cert) {
        (Some(file), ClientCert::Optional | ClientCert::Required) => file,
        _ => return Ok(None),
    };
    let authorities = pair::chain(file).map_err(|error| error.to_string())?;
    if authorities.is_empty() {
        return Err(format!("{}: holds no certificate", file.display()));
    }
    let mut roots = RootCertStore::empty();
    for authority in authorities {
        roots.add(authority).map_err(|error| format!("{}: {error}", file.display()))?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    let builder = match keys.client_cert {
        ClientCert::Optional => builder.allow_unauthenticated(),
        _ => builder,
    };
    builder.build().map(Some).map_err(|error| format!("{}: {error}", file.display()))
}
