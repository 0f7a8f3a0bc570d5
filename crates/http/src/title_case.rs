use http::{HeaderName, header};

/// Appends a header's name with a capital at the beginning of each word: some programs look for names in
/// that spelling only.
pub(crate) fn append(name: &HeaderName, out: &mut Vec<u8>) {
    if let Some(ready) = ready(name) {
        return out.extend_from_slice(ready.as_bytes());
    }
    let mut begins = true;
    out.extend(name.as_str().bytes().map(|byte| {
        let upper = std::mem::replace(&mut begins, byte == b'-');
        if upper { byte.to_ascii_uppercase() } else { byte }
    }));
}

/// What nearly every response has, ready to be written.
fn ready(name: &HeaderName) -> Option<&'static str> {
    Some(match *name {
        header::ACCEPT_RANGES => "Accept-Ranges",
        header::CACHE_CONTROL => "Cache-Control",
        header::CONTENT_LENGTH => "Content-Length",
        header::CONTENT_TYPE => "Content-Type",
        header::DATE => "Date",
        header::ETAG => "Etag",
        header::HOST => "Host",
        header::LAST_MODIFIED => "Last-Modified",
        header::SERVER => "Server",
        header::USER_AGENT => "User-Agent",
        header::VARY => "Vary",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_ready_is_what_would_be_made() {
        let names = [
            "accept-ranges",
            "cache-control",
            "content-length",
            "content-type",
            "date",
            "etag",
            "host",
            "last-modified",
            "server",
            "user-agent",
            "vary",
        ];
        for name in names {
            let ready = ready(&HeaderName::from_static(name)).unwrap();
            assert_eq!(ready.to_ascii_lowercase(), name);
            let mut words = ready.split('-');
            assert!(words.all(|word| word.starts_with(|first: char| first.is_ascii_uppercase())));
            assert_eq!(
                ready.matches(|each: char| each.is_ascii_uppercase()).count(),
                name.split('-').count()
            );
        }
    }

    #[test]
    fn each_word_has_a_capital() {
        let mut out = Vec::new();
        append(&HeaderName::from_static("x-a-1b--etag"), &mut out);
        assert_eq!(out, b"X-A-1b--Etag");
    }
}
