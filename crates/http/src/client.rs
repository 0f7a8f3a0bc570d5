//! Who the client is: the peer, unless the peer is a proxy that we trust.

use std::net::IpAddr;
use std::rc::Rc;

use brim_config::TrustedProxies;
use brim_service::PeerAddress;
use brim_service::tls::ClientCertificate;
use http::{HeaderMap, HeaderName};

mod presence;

pub(crate) use presence::{Presence, Watcher};

/// A connection's peer: its address, and that as text, made once for all its requests.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    pub(crate) address: PeerAddress,
    pub(crate) text: Option<Rc<str>>,
    /// It speaks to us through TLS.
    pub(crate) secure: bool,
    pub(crate) certificate: Option<Rc<ClientCertificate>>,
    pub(crate) connection: Rc<Presence>,
}

impl Peer {
    pub(crate) fn new(address: PeerAddress) -> Self {
        let connection = Presence::begin();
        let text = address.map(|peer| text(peer.ip()));
        Self { address, text, certificate: None, connection, secure: false }
    }

    /// The text of a client's address.
    pub(crate) fn text_of(&self, client: Option<IpAddr>) -> Option<Rc<str>> {
        let own = self.address.map(|peer| peer.ip().to_canonical());
        if client == own { self.text.clone() } else { client.map(text) }
    }
}

fn text(ip: IpAddr) -> Rc<str> {
    ip.to_canonical().to_string().into()
}

const CLUSTER: HeaderName = HeaderName::from_static("x-cluster-client-ip");
const FORWARDED: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The client's address; `None` where it came over a Unix socket and nobody says more.
///
/// A trusted proxy's `X-Cluster-Client-Ip` counts first, then its `X-Forwarded-For`, read from the
/// right: the first address that is not a trusted proxy's own. What stands left of it was sent by
/// somebody we have no reason to believe.
pub(crate) fn address(
    peer: PeerAddress,
    headers: &HeaderMap,
    trusted: &TrustedProxies,
) -> Option<IpAddr> {
    let peer = peer.map(|peer| peer.ip().to_canonical());
    if !trusted.trusts(peer) {
        return peer;
    }
    let cluster = headers.get(CLUSTER).and_then(|value| value.to_str().ok());
    if let Some(client) = cluster.and_then(|client| client.trim().parse().ok()) {
        return Some(client);
    }
    let mut client = peer;
    let hops = headers.get_all(FORWARDED).iter().rev();
    let hops = hops.flat_map(|value| value.to_str().unwrap_or_default().rsplit(','));
    for hop in hops {
        let Ok(hop) = hop.trim().parse::<IpAddr>() else { break };
        client = Some(hop);
        if !trusted.trusts(client) {
            break;
        }
    }
    client
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(peer: &str, headers: &[(&'static str, &'static str)], trusted: &str) -> String {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        let trusted = TrustedProxies {
            networks: trusted.split_whitespace().map(|net| net.parse().unwrap()).collect(),
            unix: trusted.is_empty(),
        };
        let peer = (!peer.is_empty()).then(|| peer.parse().unwrap());
        address(peer, &map, &trusted).map_or("-".to_owned(), |client| client.to_string())
    }

    #[test]
    fn a_stranger_is_not_believed() {
        let forged = [("x-forwarded-for", "1.1.1.1"), ("x-cluster-client-ip", "2.2.2.2")];
        assert_eq!(client("9.9.9.9:1", &forged, "10.0.0.0/8"), "9.9.9.9");
    }

    #[test]
    fn a_trusted_proxy_names_the_client() {
        let header = [("x-forwarded-for", "1.1.1.1, 5.5.5.5"), ("x-forwarded-for", "10.0.0.2")];
        assert_eq!(client("10.0.0.1:1", &header, "10.0.0.0/8"), "5.5.5.5");
        let cluster = [("x-forwarded-for", "1.1.1.1"), ("x-cluster-client-ip", "2.2.2.2")];
        assert_eq!(client("10.0.0.1:1", &cluster, "10.0.0.0/8"), "2.2.2.2");
        assert_eq!(client("[::ffff:10.0.0.1]:1", &cluster, "10.0.0.0/8"), "2.2.2.2");
        assert_eq!(client("10.0.0.1:1", &[], "10.0.0.0/8"), "10.0.0.1");
        assert_eq!(client("10.0.0.1:1", &[("x-forwarded-for", "junk")], "10.0.0.0/8"), "10.0.0.1");
    }

    #[test]
    fn a_unix_peer_has_no_address_but_may_be_trusted() {
        assert_eq!(client("", &[], ""), "-");
        assert_eq!(client("", &[("x-forwarded-for", "1.1.1.1")], ""), "1.1.1.1");
        assert_eq!(client("", &[("x-forwarded-for", "1.1.1.1")], "10.0.0.0/8"), "-");
    }
}
