//! Brim's own format: eighteen fields (and what apps add) with a space between them.

use std::time::Duration;

use http::{HeaderValue, Method};

use super::line::Line;
use crate::txn::Txn;

/// Appends the line.
pub(crate) fn write(line: &Line<'_>, stamp: &str, out: &mut Vec<u8>) {
    let exchange = line.exchange;
    let said = exchange.said.borrow();
    clean(out, line.client().map(str::as_bytes));
    clean(out, line.peer().map(str::as_bytes));
    field(out, exchange.shown.auth_token.as_ref().map(HeaderValue::as_bytes));
    text(out, said.remote_user.as_deref());
    clean(out, Some(stamp.as_bytes()));
    match exchange.method.as_ref() {
        Some(&Method::GET) => clean(out, Some(b"GET")),
        method => text(out, method.map(Method::as_str)),
    }
    field(out, line.decoded_target().as_deref());
    clean(out, line.protocol().map(str::as_bytes));
    number(out, u64::from(line.status));
    number(out, exchange.bytes_out.get());
    number(out, exchange.bytes_in.get());
    field(out, exchange.shown.referer.as_ref().map(HeaderValue::as_bytes));
    field(out, exchange.shown.user_agent.as_ref().map(HeaderValue::as_bytes));
    match &exchange.txn {
        Txn::Random(digits) => clean(out, Some(digits)),
        Txn::Brought(txn) => field(out, Some(txn.as_bytes())),
    }
    seconds(out, line.elapsed());
    text(out, line.broken.then_some("disconnect"));
    text(out, said.authenticated_user.as_deref());
    text(out, said.source.as_deref());
    for info in said.log_info.iter() {
        text(out, Some(info));
    }
    if let Some(headers) = line.headers() {
        text(out, Some("headers:"));
        text(out, Some(&headers));
    }
    out.pop();
    out.push(b'\n');
}

fn number(out: &mut Vec<u8>, number: u64) {
    if number == 0 {
        out.push(b'-');
    } else {
        out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
    }
    out.push(b' ');
}

fn text(out: &mut Vec<u8>, text: Option<&str>) {
    field(out, text.map(str::as_bytes));
}

/// A field: what is absent or empty is a dash; every byte that is not printable, and `%`, is
/// escaped.
#[inline]
fn field(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    match bytes {
        // Most fields of most lines.
        None | Some([]) => out.extend_from_slice(b"- "),
        Some(bytes) => visible(out, bytes),
    }
}

// Not inlined, so that what is around it can be.
#[inline(never)]
fn visible(out: &mut Vec<u8>, bytes: &[u8]) {
    // Without an early end: so the compiler looks at many bytes at once.
    match bytes.iter().fold(true, |plain, byte| plain & is_plain(*byte)) {
        true => out.extend_from_slice(bytes),
        false => escape(out, bytes),
    }
    out.push(b' ');
}

fn escape(out: &mut Vec<u8>, mut bytes: &[u8]) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    while let Some(odd) = bytes.iter().position(|byte| !is_plain(*byte)) {
        let (plain, rest) = bytes.split_at(odd);
        out.extend_from_slice(plain);
        let byte = rest.first().copied().unwrap_or_default();
        let digits = [HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]];
        out.extend_from_slice(&[b'%', digits[0], digits[1]]);
        bytes = rest.get(1..).unwrap_or_default();
    }
    out.extend_from_slice(bytes);
}

/// A field of ours, in which nothing can need an escape.
fn clean(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    out.extend_from_slice(bytes.unwrap_or(b"-"));
    out.push(b' ');
}

/// Whether a byte stays as it is.
fn is_plain(byte: u8) -> bool {
    // Not `&&`: a branch for each byte would cost more than both comparisons.
    (byte.wrapping_sub(0x21) <= 0x7e - 0x21) & (byte != b'%')
}

/// Seconds with five decimals.
fn seconds(out: &mut Vec<u8>, time: Duration) {
    let mut digits = itoa::Buffer::new();
    out.extend_from_slice(digits.format(time.as_secs()).as_bytes());
    let decimals = digits.format(100_000 + time.subsec_micros() / 10);
    out.push(b'.');
    out.extend_from_slice(decimals.get(1..).unwrap_or_default().as_bytes());
    out.push(b' ');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn escaped(bytes: &[u8]) -> String {
        let mut out = Vec::new();
        field(&mut out, Some(bytes));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn only_printable_bytes_but_not_percent_stay_literal() {
        let all: Vec<u8> = (0..=255).collect();
        let escaped = escaped(&all);
        let literal: Vec<u8> = (0x21..=0x7e).filter(|byte| *byte != b'%').collect();
        let kept = String::from_utf8(literal).unwrap();
        let escapes = (0..=255u8).filter(|b| !(0x21..=0x7e).contains(b) || *b == b'%');
        let mut expected: Vec<String> = kept.chars().map(String::from).collect();
        expected.extend(escapes.map(|byte| format!("%{byte:02X}")));
        for part in &expected {
            assert!(escaped.contains(part.as_str()), "{part}");
        }
        assert_eq!(escaped.len(), expected.iter().map(String::len).sum::<usize>() + 1);
    }

    #[test]
    fn the_duration_has_five_decimals() {
        let mut out = Vec::new();
        seconds(&mut out, Duration::from_micros(2_120_009));
        seconds(&mut out, Duration::from_nanos(1));
        assert_eq!(out, b"2.12000 0.00000 ");
    }

    #[test]
    fn what_is_empty_is_a_dash() {
        assert_eq!(escaped(b""), "- ");
        let mut out = Vec::new();
        number(&mut out, 0);
        field(&mut out, None);
        assert_eq!(out, b"- - ");
    }
}
