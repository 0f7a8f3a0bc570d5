//! The combined format of Apache and nginx.

use std::io::Write;

use super::line::Line;

/// Appends the line.
pub(crate) fn write(line: &Line<'_>, stamp: &str, out: &mut Vec<u8>) {
    let exchange = line.exchange;
    let said = exchange.said.borrow();
    let user = said.authenticated_user.as_deref().or(said.remote_user.as_deref());
    let _ = write!(out, "{} - ", line.client().unwrap_or("-"));
    match user.filter(|user| !user.is_empty()) {
        Some(user) => escape(out, user.as_bytes(), true),
        None => out.push(b'-'),
    }
    let _ = write!(out, " [{}] \"", stamp);
    match (line.method(), line.target()) {
        (Some(method), Some(target)) => {
            escape(out, method.as_bytes(), false);
            out.push(b' ');
            escape(out, target.as_bytes(), false);
            out.push(b' ');
            out.extend_from_slice(line.protocol().unwrap_or("-").as_bytes());
        }
        _ => out.push(b'-'),
    }
    let _ = write!(out, "\" {} {}", line.status, exchange.bytes_out.get());
    for header in [&exchange.shown.referer, &exchange.shown.user_agent] {
        out.extend_from_slice(b" \"");
        match header.as_ref().filter(|value| !value.is_empty()) {
            Some(value) => escape(out, value.as_bytes(), false),
            None => out.push(b'-'),
        }
        out.push(b'"');
    }
    out.push(b'\n');
}

/// As nginx does it: quotes, backslashes and what is not printable ASCII become `\xXX`.
fn escape(out: &mut Vec<u8>, bytes: &[u8], space_too: bool) {
    for &byte in bytes {
        let plain = (0x20..=0x7e).contains(&byte) && !matches!(byte, b'"' | b'\\');
        if plain && !(space_too && byte == b' ') {
            out.push(byte);
        } else {
            let _ = write!(out, "\\x{byte:02X}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_can_end_a_quoted_field_or_a_line() {
        let mut out = Vec::new();
        escape(&mut out, b"a \"b\\\n\xff", false);
        assert_eq!(out, br"a \x22b\x5C\x0A\xFF");
    }
}
