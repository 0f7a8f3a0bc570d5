//! One JSON object per line; what is absent is left out.

use brim_service::tls::ClientCertificate;
use serde::Serialize;

use super::line::Line;

#[derive(Serialize)]
struct Record<'a> {
    time: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    client: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    peer: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_certificate: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    remote_user: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    authenticated_user: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    auth_token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    method: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    protocol: Option<&'a str>,
    status: u16,
    bytes_out: u64,
    bytes_in: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    referer: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_agent: Option<String>,
    txn: &'a str,
    seconds: f64,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    disconnect: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    log_info: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    headers: Option<Vec<String>>,
}

/// Appends the line.
pub(crate) fn write(line: &Line<'_>, stamp: &str, out: &mut Vec<u8>) {
    let exchange = line.exchange;
    let said = exchange.said.borrow();
    let header = |value: &Option<http::HeaderValue>| {
        value.as_ref().map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
    };
    let record = Record {
        time: stamp,
        client: line.client(),
        peer: line.peer(),
        client_certificate: exchange.client_certificate().map(ClientCertificate::fingerprint),
        remote_user: said.remote_user.as_deref(),
        authenticated_user: said.authenticated_user.as_deref(),
        auth_token: header(&exchange.shown.auth_token),
        method: line.method(),
        target: line.target(),
        protocol: line.protocol(),
        status: line.status,
        bytes_out: exchange.bytes_out.get(),
        bytes_in: exchange.bytes_in.get(),
        referer: header(&exchange.shown.referer),
        user_agent: header(&exchange.shown.user_agent),
        txn: &exchange.txn,
        seconds: (line.elapsed().as_secs_f64() * 1e5).round() / 1e5,
        disconnect: line.broken,
        source: said.source.as_deref(),
        log_info: said.log_info.iter().collect(),
        headers: exchange.shown.all.as_ref().map(|headers| super::line::shown(headers).collect()),
    };
    let _ = serde_json::to_writer(&mut *out, &record);
    out.push(b'\n');
}
