//! Certificates of the test's own, and a client that believes in them.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};

use crate::machine::Machine;

/// The server's name.
pub(crate) const NAME: &str = "site.test";
/// Where its certificate and key lie.
pub(crate) const CERTIFICATE: &str = "/etc/brim/tls/site.crt";
pub(crate) const KEY: &str = "/etc/brim/tls/site.key";

/// Who signs.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "the system test");
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("signed").der().clone();
        Self { issuer: Issuer::new(params, key), certificate }
    }

    /// Puts a fresh pair for [`NAME`] where the server looks for it, as a renewing program does:
    /// each file by a rename, one after the other. The certificate.
    pub(crate) fn renew(&self, machine: &Machine) -> CertificateDer<'static> {
        let params = CertificateParams::new([NAME.to_owned()]).expect("a name");
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("signed");
        let pair = [(CERTIFICATE, certificate.pem()), (KEY, key.serialize_pem())];
        for (path, pem) in pair {
            machine.write(&format!("{path}.new"), pem);
            machine.sh_ok(&format!(
                "chgrp brim {path}.new; chmod 640 {path}.new; mv {path}.new {path}"
            ));
        }
        certificate.der().clone()
    }

    /// A client that offers these protocols.
    pub(crate) fn client(&self, protocols: &[&str]) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).expect("a certificate");
        let mut config =
            ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols =
            protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        Arc::new(config)
    }
}
