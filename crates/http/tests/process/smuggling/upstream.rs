use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

const FRAMING: [&str; 3] = ["content-length", "host", "transfer-encoding"];
const OF_ONE_HOP: [&str; 7] =
    ["connection", "http2-settings", "keep-alive", "proxy-connection", "te", "trailer", "upgrade"];

/// An upstream that keeps what arrives, and reads it as narrowly as RFC 9112 can be read.
pub(super) struct Upstream {
    pub(super) address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
}

/// What has arrived.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) whole: Vec<Request>,
    /// What is wrong with the bytes.
    pub(super) strange: Vec<String>,
}

/// A request that arrived whole.
#[derive(Debug, Default)]
pub(super) struct Request {
    pub(super) target: String,
    pub(super) fields: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

impl Upstream {
    pub(super) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::<Mutex<Seen>>::default();
        let keep = seen.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, keep) = (stream.unwrap(), keep.clone());
                std::thread::spawn(move || serve(stream, &keep));
            }
        });
        Self { address, seen }
    }

    /// What has arrived since the last time.
    pub(super) fn take(&self) -> Seen {
        std::mem::take(&mut self.seen.lock().unwrap())
    }
}

impl Request {
    pub(super) fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let fields = self.fields.iter().filter(move |(key, _)| key.eq_ignore_ascii_case(name));
        fields.map(|(_, value)| value.as_str())
    }
}

/// Reads requests and echoes their bodies until the end.
fn serve(mut stream: TcpStream, seen: &Mutex<Seen>) {
    let mut bytes = Vec::new();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match take(&mut bytes) {
            Ok(Some(request)) => {
                let status =
                    if request.target.starts_with("/echo") { "200 OK" } else { "404 Not Found" };
                let length = request.body.len();
                let head = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n");
                let answer = [head.as_bytes(), &request.body].concat();
                seen.lock().unwrap().whole.push(request);
                if stream.write_all(&answer).is_err() {
                    return;
                }
            }
            Ok(None) => match stream.read(&mut buffer) {
                Ok(0) => return,
                Ok(count) => bytes.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return,
                Err(error) => panic!("{error}"),
            },
            Err(why) => {
                let bytes = String::from_utf8_lossy(&bytes);
                return seen.lock().unwrap().strange.push(format!("{why}: {bytes:?}"));
            }
        }
    }
}

/// Takes a whole request off the front; `None` until it is there.
fn take(bytes: &mut Vec<u8>) -> Result<Option<Request>, String> {
    let Some(end) = find(bytes, b"\r\n\r\n") else { return Ok(None) };
    let mut request = head(&bytes[..end])?;
    let one = |name: &'static str| {
        let mut values = request.values(name);
        let value = values.next().map(str::to_owned);
        match values.next() {
            Some(_) => Err(format!("more than one {name}")),
            None => Ok(value),
        }
    };
    let (length, coding) = (one("content-length")?, one("transfer-encoding")?);
    one("host")?.ok_or("no host")?;
    let start = end + 4;
    let body = match (length, coding.as_deref()) {
        (Some(_), Some(_)) => return Err("two ways to frame it".to_owned()),
        (None, None) => Some((Vec::new(), start)),
        (None, Some("chunked")) => chunks(bytes, start)?,
        (None, Some(coding)) => return Err(format!("strange coding {coding}")),
        (Some(length), None) => {
            let digits = length.bytes().all(|byte| byte.is_ascii_digit());
            let plain = digits && (length == "0" || !length.starts_with('0'));
            let length: usize = length.parse().map_err(|_| "strange length")?;
            if !plain {
                return Err("a length that is not plain".to_owned());
            }
            bytes.get(start..start + length).map(|body| (body.to_vec(), start + length))
        }
    };
    let Some((body, end)) = body else { return Ok(None) };
    request.body = body;
    bytes.drain(..end);
    Ok(Some(request))
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

fn head(head: &[u8]) -> Result<Request, String> {
    if head.iter().any(|byte| matches!(byte, 0..=8 | 11 | 12 | 14..=31 | 127)) {
        return Err("control bytes".to_owned());
    }
    let head = String::from_utf8_lossy(head);
    let mut lines = head.split("\r\n");
    let line = lines.next().unwrap_or_default();
    let words: Vec<_> = line.split(' ').collect();
    let [_, target, "HTTP/1.1"] = words[..] else { return Err(format!("strange line {line}")) };
    if !target.starts_with('/') && target != "*" || target.contains(['#', '\t', '\r', '\n']) {
        return Err(format!("strange target {target}"));
    }
    let mut request = Request { target: target.to_owned(), ..Request::default() };
    for line in lines {
        let (name, value) = line.split_once(": ").ok_or(format!("no field: {line:?}"))?;
        let is_token = name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte));
        if name.is_empty() || !is_token {
            return Err(format!("strange name {name:?}"));
        }
        if value != value.trim_matches([' ', '\t']) || value.contains(['\r', '\n']) {
            return Err(format!("strange value {value:?}"));
        }
        // A program behind a gateway protocol takes an underscore for a hyphen.
        let disguised =
            name.contains('_') && FRAMING.contains(&&*name.to_ascii_lowercase().replace('_', "-"));
        if disguised || OF_ONE_HOP.iter().any(|hop| name.eq_ignore_ascii_case(hop)) {
            return Err(format!("{name} was to stay behind"));
        }
        request.fields.push((name.to_owned(), value.to_owned()));
    }
    Ok(request)
}

/// A chunked body without extensions and trailers, and where it ends.
fn chunks(bytes: &[u8], start: usize) -> Result<Option<(Vec<u8>, usize)>, String> {
    let (mut body, mut at) = (Vec::new(), start);
    loop {
        let rest = &bytes[at..];
        let Some(end) = find(rest, b"\r\n") else { return Ok(None) };
        let digits = &rest[..end];
        if digits.is_empty() || !digits.iter().all(u8::is_ascii_hexdigit) {
            return Err("strange chunk".to_owned());
        }
        let digits = std::str::from_utf8(digits).unwrap_or_default();
        let length = usize::from_str_radix(digits, 16).map_err(|error| error.to_string())?;
        let Some(chunk) = rest.get(end + 2..end + 2 + length + 2) else { return Ok(None) };
        if chunk[length..] != *b"\r\n" {
            return Err("a chunk without an end, or trailers".to_owned());
        }
        body.extend_from_slice(&chunk[..length]);
        at += end + 2 + length + 2;
        if length == 0 {
            return Ok(Some((body, at)));
        }
    }
}
