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

use certificates::Certificates;

pub use clients::ClientCertificate;

/// The counter of handshakes that came to nothing.
pub const FAILED_HANDSHAKES: &str = "tls_failed_count";

/// TLS as a section wants it; the workers share it.
#[derive(Debug)]
pub struct TlsPlan {
    /// What handshakes need.
    pub config: Arc<ServerConfig>,
    certificates: Arc<Certificates>,
}

/// What is wrong with the files that a key names.
#[derive(Debug)]
pub struct Trouble {
    /// The key.
    pub key: &'static str,
    /// Whether the section can be served all the same.
    pub severity: Severity,
    /// What is wrong.
    pub why: String,
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
    /// Loads what the keys name, for the protocols that clients may choose by ALPN, best first; `None`
    /// where the section does not speak TLS, or cannot.
    pub fn read(keys: &TlsKeys, protocols: &[&[u8]]) -> (Option<Self>, Vec<Trouble>) {
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
            let config = config(protocols, certificates.clone(), verifier);
            config.map_err(|error| troubles.push(Trouble::error("certfile", error)))
        });
        (config.ok().map(|config| Self { config: Arc::new(config), certificates }), troubles)
    }

    /// Looks after the certificates from now on, for as long as somebody uses this. Those of an earlier
    /// plan are served on where the files as they are now cannot be.
    pub fn follow(&self) {
        watch::follow(&self.certificates);
    }
}

fn config(
    protocols: &[&[u8]],
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
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
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
