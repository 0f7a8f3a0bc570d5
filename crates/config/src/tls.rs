//! The keys that are about TLS and the PROXY protocol.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use crate::quantity::{AbsolutePath, Timeout};
use crate::reader::Reader;

/// How a section speaks TLS. With `certfile` or `cert_dir` it does so on all its listeners but those
/// on Unix sockets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsKeys {
    /// `certfile`: absolute path of a PEM file, the certificate and then its chain, for clients that
    /// name no host of `cert_dir`; default unset.
    pub certfile: Option<PathBuf>,
    /// `keyfile`: absolute path of a PEM file, the key of `certfile`; default unset.
    pub keyfile: Option<PathBuf>,
    /// `cert_dir`: absolute path of a directory with certificates and keys in PEM form, `NAME.crt` and
    /// `NAME.key`, for clients that name the host NAME; those of `_.example.com` are for all names with
    /// one label before `example.com`; default unset.
    pub cert_dir: Option<PathBuf>,
    /// `client_ca`: absolute path of a PEM file with certificates of authorities that sign clients';
    /// default unset.
    pub client_ca: Option<PathBuf>,
    /// `client_cert`: `none`, `optional` or `required`, certificates of clients; default `required` with
    /// `client_ca`, else `none`.
    pub client_cert: ClientCert,
    /// `handshake_timeout`: time for a TLS handshake, and for a header of the PROXY protocol, from
    /// the first byte; default 10s.
    pub handshake_timeout: Duration,
    /// `proxy_protocol`: yes or no, each connection begins with a header of the PROXY protocol, from a
    /// peer in `trusted_proxies` if that is set; default no.
    pub proxy_protocol: bool,
}

/// Whether clients show certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientCert {
    /// They are not asked for one.
    None,
    /// They are asked, and one that they show has to be good.
    Optional,
    /// No connection without a good one.
    Required,
}

impl TlsKeys {
    /// Whether the section speaks TLS at all.
    pub fn is_on(&self) -> bool {
        self.certfile.is_some() || self.cert_dir.is_some()
    }

    /// Takes the keys from a reader.
    pub(crate) fn take(r: &mut Reader<'_>) -> Self {
        let certfile = path(r, "certfile");
        let keyfile = path(r, "keyfile");
        match (is_set(r, "certfile"), is_set(r, "keyfile")) {
            (true, false) => r.refuse("certfile", "is set and keyfile is not; set both"),
            (false, true) => r.refuse("keyfile", "is set and certfile is not; set both"),
            _ => {}
        }
        let cert_dir = path(r, "cert_dir");
        let client_ca = path(r, "client_ca");
        let client_cert = r.get("client_cert");
        let wanted = matches!(client_cert, Some(ClientCert::Optional | ClientCert::Required));
        let on = is_set(r, "certfile") || is_set(r, "cert_dir");
        if wanted && !is_set(r, "client_ca") {
            r.refuse("client_cert", "client_ca is not set, so no certificate of a client is good");
        } else if is_set(r, "client_ca") && !on && !r.is_defaults() {
            r.refuse("client_ca", "neither certfile nor cert_dir is set, so there is no TLS");
        }
        let default = if client_ca.is_some() { ClientCert::Required } else { ClientCert::None };
        Self {
            certfile,
            keyfile,
            cert_dir,
            client_ca,
            client_cert: client_cert.unwrap_or(default),
            handshake_timeout: r.get_or("handshake_timeout", Timeout(Duration::from_secs(10))).0,
            proxy_protocol: r.get_or("proxy_protocol", false),
        }
    }
}

fn is_set(r: &mut Reader<'_>, key: &'static str) -> bool {
    r.own_entry(key).is_some() || r.default_entry(key).is_some()
}

fn path(r: &mut Reader<'_>, key: &'static str) -> Option<PathBuf> {
    r.get(key).map(|AbsolutePath(path)| path)
}
