/// A response as it stands among others.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) closes: bool,
    pub(crate) body: Vec<u8>,
}

/// All responses of a connection, none of them to HEAD; `None` where the bytes are anything else.
pub(crate) fn read(mut bytes: &[u8]) -> Option<Vec<Answer>> {
    let mut answers = Vec::new();
    while !bytes.is_empty() {
        let end = find(bytes, b"\r\n\r\n")?;
        let head = std::str::from_utf8(&bytes[..end]).ok()?.to_ascii_lowercase();
        bytes = &bytes[end + 4..];
        let value = |name: &str| {
            let mut lines = head.lines().filter_map(|line| line.split_once(": "));
            lines.find(|(key, _)| *key == name).map(|(_, value)| value)
        };
        let old = head.starts_with("http/1.0 ");
        let status = head.strip_prefix("http/1.")?.get(2..5)?.parse().ok()?;
        let body = match (value("content-length"), value("transfer-encoding")) {
            _ if status < 200 => Vec::new(),
            (Some(length), None) => take(&mut bytes, length.parse().ok()?)?,
            (None, Some("chunked")) => chunks(&mut bytes)?,
            (None, None) => std::mem::take(&mut bytes).to_vec(),
            _ => return None,
        };
        let closes = value("connection").map_or(old, |value| value == "close");
        answers.push(Answer { status, closes, body });
    }
    Some(answers)
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

fn take(bytes: &mut &[u8], count: usize) -> Option<Vec<u8>> {
    let (taken, rest) = bytes.split_at_checked(count)?;
    *bytes = rest;
    Some(taken.to_vec())
}

fn chunks(bytes: &mut &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = take(bytes, find(bytes, b"\r\n")? + 2)?;
        let length = usize::from_str_radix(std::str::from_utf8(&line).ok()?.trim_end(), 16).ok()?;
        let chunk = take(bytes, length + 2)?;
        body.extend(chunk.strip_suffix(b"\r\n")?);
        if length == 0 {
            return Some(body);
        }
    }
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let closes = if self.closes { " and closes" } else { "" };
        write!(f, "{}{closes} {:?}", self.status, String::from_utf8_lossy(&self.body))
    }
}
