use http::HeaderName;

/// Appends a header's name with a capital at the beginning of each word: some programs look for names in
/// that spelling only.
pub(crate) fn append(name: &HeaderName, out: &mut Vec<u8>) {
    let mut begins = true;
    out.extend(name.as_str().bytes().map(|byte| {
        let upper = std::mem::replace(&mut begins, byte == b'-');
        if upper { byte.to_ascii_uppercase() } else { byte }
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_word_has_a_capital() {
        let mut out = Vec::new();
        append(&HeaderName::from_static("x-a-1b--etag"), &mut out);
        assert_eq!(out, b"X-A-1b--Etag");
    }
}
