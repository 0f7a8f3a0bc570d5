//! TLS: what the section's keys become, and the certificates as they are now.

use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use brim_config::{Severity, TlsKeys};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, ProducesTickets};

mod certificates;
mod clients;
mod pair;
mod watch;

use certificates::Event;

pub(crate) use certificates::Certificates;
pub(crate) use watch::follow;

pub use clients::ClientCertificate;

/// HTTP/2 as ALPN names it.
pub(crate) const HTTP2: &[u8] = b"h2";
/// The counter of handshakes that came to nothing.
pub(crate) const FAILED_HANDSHAKES: &str = "tls_failed_count";

/// TLS as a section wants it; the workers share it.
#[derive(Debug)]
pub(crate) struct TlsPlan {
    pub(crate) config: Arc<ServerConfig>,
    pub(crate) certificates: Arc<Certificates>,
}

/// What is wrong with the files that a key names.
#[derive(Debug)]
pub(crate) struct Trouble {
    pub(crate) key: &'static str,
    pub(crate) severity: Severity,
    pub(crate) why: String,
}

impl Trouble {
    fn error(key: &'static str, why: impl ToString) -> Self {
        Self { key, severity: Severity::Error, why: why.to_string() }
    }

    /// What of a first look at the files is worth telling. One bad pair of many in `cert_dir` is no
    /// reason to serve nothing at all.
    fn of(event: Event) -> Option<Self> {
        match event {
            Event::Fails { default: true, why } => Some(Self::error("certfile", why)),
            Event::Fails { default: false, why } => Some(Self::warning("cert_dir", why)),
            Event::Expires(file, left) => {
                let why = format!("{} {}", file.display(), watch::expires(left));
                Some(Self::warning("certfile", why))
            }
            Event::Unreadable(directory, error) => {
                Some(Self::error("cert_dir", format!("{}: {error}", directory.display())))
            }
            Event::Serves(_) | Event::Gone(_) => None,
        }
    }

    fn warning(key: &'static str, why: impl ToString) -> Self {
        Self { key, severity: Severity::Warning, why: why.to_string() }
    }
}

impl TlsPlan {
    /// Loads what the keys name; `None` where the section does not speak TLS, or cannot.
    pub(crate) fn read(keys: &TlsKeys) -> (Option<Self>, Vec<Trouble>) {
        if !keys.is_on() {
            return (None, Vec::new());
        }
        let pair = keys.certfile.clone().zip(keys.keyfile.clone());
        let certificates = Arc::new(Certificates::new(pair, keys.cert_dir.clone()));
        let events = certificates.look(SystemTime::now(), true);
        let mut troubles: Vec<_> = events.into_iter().filter_map(Trouble::of).collect();
        if certificates.is_empty() && troubles.is_empty() {
            let why = "holds no certificate, expected pairs NAME.crt and NAME.key";
            troubles.push(Trouble::error("cert_dir", why));
        }
        let verifier = clients::verifier(keys)
            .map_err(|error| troubles.push(Trouble::error("client_ca", error)));
        let config = verifier.and_then(|verifier| {
            let config = config(keys, certificates.clone(), verifier);
            config.map_err(|error| troubles.push(Trouble::error("certfile", error)))
        });
        (config.ok().map(|config| Self { config: Arc::new(config), certificates }), troubles)
    }
}

fn config(
    keys: &TlsKeys,
    certificates: Arc<Certificates>,
    verifier: Option<Arc<dyn ClientCertVerifier>>,
) -> Result<ServerConfig, rustls::Error> {
    let provider = Arc::new(ring::default_provider());
    let builder =
        ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    // Somebody whose certificate counts no more is not to come back by a ticket of before.
    let tickets = if verifier.is_some() { ring::Ticketer::new()? } else { tickets()? };
    let builder = match verifier {
        Some(verifier) => builder.with_client_cert_verifier(verifier),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_cert_resolver(certificates);
    config.ticketer = tickets;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.alpn_protocols = match keys.http2 {
        true => vec![HTTP2.to_vec(), b"http/1.1".to_vec()],
        false => vec![b"http/1.1".to_vec()],
    };
    Ok(config)
}

/// The keys of session tickets. They outlive a reload, so that clients need no whole handshake
/// because of one.
fn tickets() -> Result<Arc<dyn ProducesTickets>, rustls::Error> {
    static TICKETS: OnceLock<Arc<dyn ProducesTickets>> = OnceLock::new();
    if let Some(tickets) = TICKETS.get() {
        return Ok(tickets.clone());
    }
    let new = ring::Ticketer::new()?;
    Ok(TICKETS.get_or_init(|| new).clone())
}
