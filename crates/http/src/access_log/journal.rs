//! A record in the journal's native protocol, one field per column.

use brim_service::journal_field;

use super::line::Line;

/// syslog's "notice": an access line is not a problem, and not mere information either.
const NOTICE: &str = "5";

/// Appends the record.
pub(crate) fn write(line: &Line<'_>, section: &str, out: &mut Vec<u8>) {
    let exchange = line.exchange;
    let said = exchange.said.borrow();
    let header = |value: &Option<http::HeaderValue>| {
        value.as_ref().map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
    };
    let target = line.target().unwrap_or("-");
    let message = format!("{} {target} {}", line.method().unwrap_or("-"), line.status);
    let fields = [
        ("PRIORITY", Some(NOTICE.to_owned())),
        ("SYSLOG_IDENTIFIER", Some("brim-http".to_owned())),
        ("BRIM_SECTION", Some(section.to_owned())),
        ("MESSAGE", Some(message)),
        ("BRIM_CLIENT", line.client().map(str::to_owned)),
        ("BRIM_PEER", line.peer().map(str::to_owned)),
        ("BRIM_AUTH_TOKEN", header(&exchange.shown.auth_token)),
        ("BRIM_REMOTE_USER", said.remote_user.clone()),
        ("BRIM_METHOD", line.method().map(str::to_owned)),
        ("BRIM_TARGET", line.target().map(str::to_owned)),
        ("BRIM_PROTOCOL", line.protocol().map(str::to_owned)),
        ("BRIM_STATUS", Some(line.status.to_string())),
        ("BRIM_BYTES_OUT", Some(exchange.bytes_out.get().to_string())),
        ("BRIM_BYTES_IN", Some(exchange.bytes_in.get().to_string())),
        ("BRIM_REFERER", header(&exchange.shown.referer)),
        ("BRIM_USER_AGENT", header(&exchange.shown.user_agent)),
        ("BRIM_TXN", Some(exchange.txn.to_string())),
        ("BRIM_SECONDS", Some(format!("{:.5}", line.elapsed().as_secs_f64()))),
        ("BRIM_DISCONNECT", line.broken.then(|| "disconnect".to_owned())),
        ("BRIM_AUTHENTICATED_USER", said.authenticated_user.clone()),
        ("BRIM_SOURCE", said.source.clone()),
        ("BRIM_HEADERS", line.headers()),
    ];
    for (name, value) in &fields {
        if let Some(value) = value {
            journal_field(out, name, value);
        }
    }
    for info in said.log_info.iter() {
        journal_field(out, "BRIM_LOG_INFO", info);
    }
}
