//! TLS: what the section's keys become, and the certificates as they are now.

use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use brim_config::{Problem, ServerSection, Severity, TlsKeys, Tree};
use brim_stats::Stat;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, ProducesTickets};

use crate::proxy_protocol::BAD_PROXY_HEADERS;

mod certificates;
mod clients;
mod pair;
mod watch;

use certificates::{Certificates, Event};

pub use clients::ClientCertificate;

/// The counter of handshakes that came to nothing.
pub const FAILED_HANDSHAKES: &str = "tls_failed_count";

/// What rustls holds of a connection at most: a record that has not come whole, one that nobody has read,
/// what the client does not take, and its own state; in bytes.
const KEPT: u64 = (2 * 18 + 64 + 16) * 1024;

/// TLS as a section wants it; the workers share it.
#[derive(Debug)]
pub struct TlsPlan {
    /// What handshakes need.
    pub config: Arc<ServerConfig>,
    certificates: Arc<Certificates>,
}

/// What is wrong with the files that a key names.
#[derive(Debug)]
struct Trouble {
    key: &'static str,
    /// Whether the section can be served all the same.
    severity: Severity,
    why: String,
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
    /// Loads what a section's keys name, for the protocols that clients may choose by ALPN, best first;
    /// `None` where the section does not speak TLS, or cannot.
    pub fn read(
        tree: &Tree,
        server: &ServerSection,
        keys: &TlsKeys,
        protocols: &[&[u8]],
    ) -> (Option<Self>, Vec<Problem>) {
        let (plan, troubles) = Self::load(keys, protocols);
        let problem =
            |Trouble { key, severity, why }| Problem { severity, ..server.refuse(tree, key, why) };
        (plan, troubles.into_iter().map(problem).collect())
    }

    fn load(keys: &TlsKeys, protocols: &[&[u8]]) -> (Option<Self>, Vec<Trouble>) {
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

    /// What is counted where a section has these keys.
    pub fn stats(keys: &TlsKeys) -> impl Iterator<Item = Stat> {
        let of_tls = keys.is_on().then(|| Stat::sum(FAILED_HANDSHAKES));
        let of_proxies = keys.proxy_protocol.then(|| Stat::sum(BAD_PROXY_HEADERS));
        of_tls.into_iter().chain(of_proxies)
    }

    /// The bytes that these keys add to what one connection may make us hold.
    pub fn memory(keys: &TlsKeys) -> u64 {
        if keys.is_on() { KEPT } else { 0 }
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
