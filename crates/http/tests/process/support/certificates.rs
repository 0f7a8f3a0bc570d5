use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    date_time_ymd,
};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::{Daemon, Home, PATIENCE, example};

/// Who signs the certificates of a test.
pub(crate) struct Authority {
    pub(crate) pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key.
pub(crate) struct Issued {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "the test's authority");
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    /// A certificate for these names.
    pub(crate) fn issue(&self, names: &[&str]) -> Issued {
        self.sign(names, |_| {})
    }

    /// One whose time is over.
    pub(crate) fn expired(&self, name: &str) -> Issued {
        self.sign(&[name], |params| params.not_after = date_time_ymd(2020, 1, 1))
    }

    /// One of a client.
    pub(crate) fn client(&self, name: &str) -> Issued {
        self.sign(&[name], |params| {
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        })
    }

    fn sign(&self, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Issued {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names.clone()).unwrap();
        params.distinguished_name.push(DnType::CommonName, names[0].clone());
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap().pem();
        Issued { certificate, key: key.serialize_pem() }
    }
}

impl Home {
    /// Writes a file of the test's own; its path.
    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// Writes a pair as `NAME.crt` and `NAME.key`, and the lines of the configuration for it.
    pub(crate) fn write_pair(&self, name: &str, issued: &Issued) -> String {
        let certificate = self.write(&format!("{name}.crt"), &issued.certificate);
        let key = self.write(&format!("{name}.key"), &issued.key);
        format!("certfile = {}\nkeyfile = {}\n", certificate.display(), key.display())
    }
}

/// A daemon for `example.test` with these further keys, and the apps of `examples/trial.rs`.
pub(crate) fn serve_tls(keys: &str, authority: &Authority) -> Daemon {
    let home = Home::new("").program(example("trial"));
    home.write("ca.pem", &authority.pem);
    let pair = home.write_pair("site", &authority.issue(&["example.test"]));
    home.configure(&format!("{pair}{keys}"));
    home.shared().start()
}

/// A client of `example.test` that trusts the authority, with a certificate of its own if one is given.
pub(crate) fn tls_client(
    daemon: &Daemon,
    authority: &Authority,
    own: Option<&Issued>,
) -> StreamOwned<ClientConnection, TcpStream> {
    let certificate = |pem: &str| CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(certificate(&authority.pem)).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let config = match own {
        Some(own) => {
            let key = PrivateKeyDer::from_pem_slice(own.key.as_bytes()).unwrap();
            config.with_client_auth_cert(vec![certificate(&own.certificate)], key).unwrap()
        }
        None => config.with_no_client_auth(),
    };
    let name = "example.test".try_into().unwrap();
    let session = ClientConnection::new(Arc::new(config), name).unwrap();
    let stream = TcpStream::connect(daemon.address()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    StreamOwned::new(session, stream)
}

/// What `curl` says on its standard output, and whether it succeeded. The server is `example.test`.
pub(crate) fn curl_tls(daemon: &Daemon, target: &str, arguments: &[&str]) -> (bool, String) {
    let output = curl_tls_command(daemon, target, arguments).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    (output.status.success(), text.into_owned())
}

/// The same, still to be run.
pub(crate) fn curl_tls_command(daemon: &Daemon, target: &str, arguments: &[&str]) -> Command {
    let port = daemon.address().port();
    let mut command = Command::new("curl");
    command
        .args(["--silent", "--show-error", "--max-time", "20", "--noproxy", "*"])
        .arg("--cacert")
        .arg(daemon.home.path("ca.pem"))
        .args(["--connect-to", &format!("::127.0.0.1:{port}")])
        .args(arguments)
        .arg(format!("https://example.test{target}"))
        .stdin(Stdio::null());
    command
}
