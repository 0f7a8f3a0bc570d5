use super::content::{Cancel, Content, Frame, GoAway, GoAwayReason, Hello, Reason, Side};
use super::encode::{ANSWER, CLOSE, END, HEADER_BYTES, MAGIC, MORE, kind, version};
use super::error::LinkError;
use super::fields::{Fields, unexpected};
use super::head::{Headers, RequestHead, ResponseHead};
use super::{HIGHEST, LOWEST};
use crate::error::Found;

/// The longest payload of a `Hello`: its fields and a name of 255 bytes.
pub const HELLO_BYTES: usize = 277;

/// What the other side may send at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a payload.
    pub payload: usize,
    /// Headers of a head.
    pub headers: usize,
}

/// Finds and checks the frames of one direction of a link.
///
/// It keeps no bytes: what is not a whole frame yet stays with the caller, and is at most
/// [`HEADER_BYTES`] more than the longest payload allowed. A frame is refused at its announcement.
#[derive(Clone, Debug)]
pub struct FrameDecoder {
    from: Side,
    limits: Limits,
    is_greeted: bool,
    /// The exchange that was begun last.
    last: u64,
}

struct Header {
    kind: u8,
    flags: u8,
    length: usize,
    exchange: u64,
}

impl FrameDecoder {
    /// For what this side sends on a fresh link.
    pub fn new(from: Side, limits: Limits) -> Self {
        Self { from, limits, is_greeted: false, last: 0 }
    }

    /// The frame at the start of `input`, as soon as it is whole.
    pub fn decode<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<Frame<'a>>, LinkError> {
        let Some((bytes, rest)) = input.split_first_chunk::<HEADER_BYTES>() else {
            return self.check_start(input).map(|()| None);
        };
        let header = self.header(bytes)?;
        let Some((payload, rest)) = rest.split_at_checked(header.length) else {
            return Ok(None);
        };
        let content = self.content(&header, payload)?;
        *input = rest;
        self.is_greeted = true;
        if header.kind == kind::REQUEST {
            self.last = header.exchange;
        }
        Ok(Some(Frame { exchange: header.exchange, content }))
    }

    /// A stream that is no link is told by its first bytes.
    fn check_start(&self, input: &[u8]) -> Result<(), LinkError> {
        match *input {
            [found, ..] if !(LOWEST..=HIGHEST).contains(&found) => {
                Err(LinkError::Version { found, expected: LOWEST })
            }
            [_, kind, ..] => self.check_kind(kind),
            _ => Ok(()),
        }
    }

    fn check_kind(&self, kind: u8) -> Result<(), LinkError> {
        let found = Found::Byte(kind);
        match (self.is_greeted, kind) {
            (false, kind) if kind != kind::HELLO => {
                return Err(unexpected(1, found, "kind 1, hello, in the first frame"));
            }
            (true, kind::HELLO) => return Err(unexpected(1, found, "one hello only")),
            _ => {}
        }
        let from = self.from;
        let is_sent = match kind {
            kind::REQUEST | kind::MESSAGE => from == Side::FrontEnd,
            kind::RESPONSE | kind::UPGRADE | kind::TOUCH | kind::WATCH => from == Side::Gateway,
            kind::HELLO..=kind::PING => true,
            _ => return Err(unexpected(1, found, "a kind, 1 to 12")),
        };
        if is_sent { Ok(()) } else { Err(LinkError::Direction { kind, from }) }
    }

    fn header(&self, bytes: &[u8; HEADER_BYTES]) -> Result<Header, LinkError> {
        self.check_start(bytes)?;
        let [found, kind, flags, zero, a, b, c, d, exchange @ ..] = *bytes;
        if zero != 0 {
            return Err(unexpected(3, Found::Byte(zero), "0"));
        }
        let allowed = match (kind, self.from) {
            (kind::REQUEST, _) | (kind::DATA, Side::FrontEnd) => END,
            (kind::RESPONSE, _) => END | CLOSE,
            (kind::DATA, Side::Gateway) => END | CLOSE | MORE,
            (kind::MESSAGE, _) => MORE,
            (kind::PING, _) => ANSWER,
            _ => 0,
        };
        let is_odd = flags & (END | CLOSE) == CLOSE || flags & (END | MORE) == END | MORE;
        if flags & !allowed != 0 || is_odd {
            return Err(unexpected(2, Found::Byte(flags), "flags of this kind"));
        }
        let expected = version(kind, flags);
        if found != expected {
            return Err(LinkError::Version { found, expected });
        }
        let exchange = u64::from_be_bytes(exchange);
        let is_links_own = matches!(kind, kind::HELLO | kind::GO_AWAY | kind::PING);
        if is_links_own != (exchange == 0) {
            let expected = if is_links_own { "exchange 0" } else { "an exchange above 0" };
            return Err(unexpected(8, Found::Bytes(8), expected));
        }
        if kind == kind::REQUEST && exchange <= self.last {
            return Err(unexpected(8, Found::Bytes(8), "a higher exchange than the one before"));
        }
        let announced = u32::from_be_bytes([a, b, c, d]) as usize;
        let limit = if kind == kind::HELLO { HELLO_BYTES } else { self.limits.payload };
        if announced > limit {
            return Err(LinkError::TooLong { kind, announced, limit });
        }
        Ok(Header { kind, flags, length: announced, exchange })
    }

    fn content<'a>(&self, header: &Header, payload: &'a [u8]) -> Result<Content<'a>, LinkError> {
        let mut fields = Fields::new(payload, HEADER_BYTES);
        let end = header.flags & END != 0;
        let close = header.flags & CLOSE != 0;
        let content = match header.kind {
            kind::DATA if header.flags & MORE != 0 => return Ok(Content::Part(payload)),
            kind::DATA => return Ok(Content::Data { bytes: payload, end, close }),
            kind::MESSAGE => return read_message(fields, header.flags & MORE != 0),
            kind::HELLO => Content::Hello(read_hello(&mut fields)?),
            kind::REQUEST => {
                let head = RequestHead::read(&mut fields)?;
                let headers = Headers::read(&mut fields, self.limits.headers)?;
                Content::Request { head, headers, end }
            }
            kind::RESPONSE => {
                let head = read_response(&mut fields, "a status of 200 to 999", 200..=999)?;
                let headers = Headers::read(&mut fields, self.limits.headers)?;
                Content::Response { head, headers, end, close }
            }
            kind::UPGRADE => {
                let head = read_response(&mut fields, "the status 101", 101..=101)?;
                let headers = Headers::read(&mut fields, self.limits.headers)?;
                Content::Upgrade { head, headers }
            }
            kind::CANCEL => Content::Cancel(self.read_cancel(&mut fields)?),
            kind::CREDIT => match fields.u32("four bytes of credit")? {
                0 => return Err(unexpected(HEADER_BYTES, Found::Bytes(4), "a credit above 0")),
                bytes => Content::Credit(bytes),
            },
            kind::TOUCH => Content::Touch,
            kind::WATCH => Content::Watch,
            kind::GO_AWAY => Content::GoAway(read_go_away(&mut fields)?),
            _ => {
                let context = fields.u64("eight bytes of context")?;
                Content::Ping { context, is_answer: header.flags & ANSWER != 0 }
            }
        };
        fields.end()?;
        Ok(content)
    }

    fn read_cancel(&self, fields: &mut Fields<'_>) -> Result<Cancel, LinkError> {
        let at = fields.at();
        let code = fields.u8("a reason")?;
        let is_theirs = (code < 32) == (self.from == Side::FrontEnd);
        let Some(reason) = Reason::of(code).filter(|_| is_theirs) else {
            return Err(unexpected(at, Found::Byte(code), "a reason of this side"));
        };
        fields.zeros(1)?;
        Ok(Cancel { reason, retry_after: fields.u16("seconds")? })
    }
}

/// Reads the payload of a request's frame again, for who has kept it.
pub fn parse_request(
    payload: &[u8],
    headers: usize,
) -> Result<(RequestHead<'_>, Headers<'_>), LinkError> {
    let mut fields = Fields::new(payload, HEADER_BYTES);
    let head = RequestHead::read(&mut fields)?;
    let headers = Headers::read(&mut fields, headers)?;
    fields.end()?;
    Ok((head, headers))
}

fn read_hello<'a>(fields: &mut Fields<'a>) -> Result<Hello<'a>, LinkError> {
    let at = fields.at();
    let magic = fields.bytes(MAGIC.len(), "the four bytes Brim")?;
    if magic != MAGIC {
        return Err(unexpected(at, Found::Bytes(magic.len()), "the four bytes Brim"));
    }
    let lowest = fields.u8("the lowest version")?;
    let highest = fields.u8("the highest version")?;
    if lowest > highest || highest < LOWEST || lowest > HIGHEST {
        return Err(LinkError::Versions { lowest, highest });
    }
    fields.zeros(2)?;
    Ok(Hello {
        lowest,
        highest,
        credit: fields.u32("four bytes of credit")?,
        payload: fields.u32("the longest payload")?,
        exchanges: fields.u32("the number of exchanges")?,
        name: fields.short_string("a link's name")?,
    })
}

fn read_message(mut fields: Fields<'_>, more: bool) -> Result<Content<'_>, LinkError> {
    let flags = fields.u8("a message's flags")?;
    let path = fields.short_string("a message's path")?;
    Ok(Content::Message { flags, path, bytes: fields.rest(), more })
}

fn read_response<'a>(
    fields: &mut Fields<'a>,
    expected: &'static str,
    allowed: std::ops::RangeInclusive<u16>,
) -> Result<ResponseHead<'a>, LinkError> {
    let at = fields.at();
    let head = ResponseHead::read(fields)?;
    if !allowed.contains(&head.status) {
        return Err(unexpected(at, Found::Bytes(2), expected));
    }
    Ok(head)
}

fn read_go_away<'a>(fields: &mut Fields<'a>) -> Result<GoAway<'a>, LinkError> {
    let at = fields.at();
    let code = fields.u8("a reason")?;
    let Some(reason) = GoAwayReason::of(code) else {
        return Err(unexpected(at, Found::Byte(code), "a reason to go away, 1 to 3"));
    };
    fields.zeros(1)?;
    let last = fields.u64("the last exchange")?;
    Ok(GoAway { reason, last, text: fields.short_string("a text for the log")? })
}
