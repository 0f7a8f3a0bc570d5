use brim_wire::link::Headers;
use http::{HeaderMap, HeaderName, HeaderValue, header};

pub(in crate::apps::handler) const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");

/// Room for those that are added to them.
const OTHERS: usize = 4;

/// The headers of the last answer: mostly, those of the next are the same.
#[derive(Default)]
pub(super) struct LastHeaders {
    /// As the gateway wrote them.
    bytes: Vec<u8>,
    /// For a client, without those about its connection.
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl LastHeaders {
    /// The headers for a client; `None` if they cannot be sent.
    pub(super) fn map(&mut self, headers: &Headers<'_>) -> Option<HeaderMap> {
        if self.bytes != headers.as_bytes() {
            self.headers = read(headers)?;
            self.bytes = headers.as_bytes().to_vec();
        }
        let mut map = HeaderMap::with_capacity(self.headers.len() + OTHERS);
        for (name, value) in &self.headers {
            map.append(name, value.clone());
        }
        Some(map)
    }
}

fn read(headers: &Headers<'_>) -> Option<Vec<(HeaderName, HeaderValue)>> {
    let mut kept = Vec::with_capacity(headers.len());
    for (name, value) in headers.iter() {
        let name = HeaderName::from_bytes(name).ok()?;
        let value = HeaderValue::from_bytes(value).ok()?;
        if !is_connections_own(&name) {
            kept.push((name, value));
        }
    }
    Some(kept)
}

/// Whether a header says what is ours to say.
fn is_connections_own(name: &HeaderName) -> bool {
    match *name {
        header::CONNECTION
        | header::CONTENT_LENGTH
        | header::TRANSFER_ENCODING
        | header::UPGRADE => true,
        _ => *name == KEEP_ALIVE,
    }
}

#[cfg(test)]
mod tests {
    use brim_wire::link::{
        Content, Frame, FrameDecoder, HIGHEST, Hello, LOWEST, Limits, ResponseHead, Side,
        append_response,
    };

    use super::*;

    type Lines<'a> = &'a [(&'a str, &'a str)];

    /// Gives an answer with these headers to `last`, and what a client gets of them.
    fn told(last: &mut LastHeaders, headers: Lines<'_>) -> Option<Vec<String>> {
        let mut bytes = Vec::new();
        let hello = Content::Hello(Hello {
            lowest: LOWEST,
            highest: HIGHEST,
            credit: 1,
            payload: 4096,
            exchanges: 1,
            name: b"t",
        });
        Frame { exchange: 0, content: hello }.append(&mut bytes).unwrap();
        let head = ResponseHead { status: 200, length: None, reason: b"OK" };
        let pairs = headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        append_response(&mut bytes, 1, &head, pairs, (false, false)).unwrap();
        let limits = Limits { payload: 4096, headers: 100 };
        let mut decoder = FrameDecoder::new(Side::Gateway, limits);
        let mut input = bytes.as_slice();
        loop {
            let frame = decoder.decode(&mut input).unwrap().unwrap();
            if let Content::Response { headers, .. } = frame.content {
                let map = last.map(&headers)?;
                let text = |value: &HeaderValue| value.to_str().unwrap().to_owned();
                return Some(
                    map.iter().map(|(name, value)| format!("{name}: {}", text(value))).collect(),
                );
            }
        }
    }

    #[test]
    fn headers_are_those_of_their_own_answer_whatever_came_before() {
        let answers: [(Lines<'_>, Option<&[&str]>); 5] = [
            (&[("x-a", "1"), ("x-b", "2")], Some(&["x-a: 1", "x-b: 2"])),
            (&[("x-a", "1"), ("x-b", "3")], Some(&["x-a: 1", "x-b: 3"])),
            (&[("x-a", "1"), ("connection", "x"), ("x-a", "4")], Some(&["x-a: 1", "x-a: 4"])),
            (&[("x-a", "1\n2")], None),
            (&[], Some(&[])),
        ];
        for first in &answers {
            for second in &answers {
                let mut last = LastHeaders::default();
                for (headers, expected) in [first, first, second, second, first] {
                    let expected = expected.map(<[&str]>::to_vec);
                    let expected =
                        expected.map(|all| all.iter().map(|line| (*line).to_owned()).collect());
                    assert_eq!(told(&mut last, headers), expected);
                }
            }
        }
    }
}
