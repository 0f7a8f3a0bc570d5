use std::path::PathBuf;
use std::time::Duration;

use brim_config::{HandlerSection, Reader, SizeWithin, Timeout};
use serde::Deserialize;

use super::{link, socket, upload};

/// What a front end reads of a handler's section.
#[derive(Debug)]
pub(crate) struct Conf {
    /// Where its gateway listens for links.
    pub(super) link: PathBuf,
    /// The gateway's `max_exchanges`.
    pub(super) max_exchanges: usize,
    /// `gateway_wait`: time that a request waits for the link to the gateway, then 503; default 2s.
    pub(super) gateway_wait: Duration,
    /// The gateway's `max_message`, for WebSockets: beyond it close code 1009.
    pub(super) max_message: u64,
    /// `socket_max_message`: size of a JSON or XML socket message with its NUL, 16 to 1M, and not above
    /// `max_message`; default 64K.
    pub(super) socket_max_message: usize,
    /// `websocket_ping`: `answer` or `pass`, whether a client's ping is answered here or goes to the handler;
    /// default `answer`.
    pub(super) ping: Pings,
    /// `tunnel_timeout`: time of silence after which a WebSocket or a connection with socket messages is
    /// closed; default 1h.
    pub(super) silence: Duration,
}

/// Who answers pings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Pings {
    Answer,
    Pass,
}

impl Conf {
    pub(super) fn read(r: &mut Reader<'_>) -> Self {
        let SizeWithin(socket) =
            r.get_or("socket_max_message", SizeWithin::<16, 1_048_576>(65_536));
        let timeout = |r: &mut Reader<'_>, key, seconds| {
            r.get_or(key, Timeout(Duration::from_secs(seconds))).0
        };
        let gateway_wait = timeout(r, "gateway_wait", 2);
        let silence = timeout(r, "tunnel_timeout", 3600);
        let ping = r.get_or("websocket_ping", Pings::Answer);
        // Without it there is a problem, and nothing is served.
        let section = HandlerSection::take(r);
        let max_message = section.as_ref().map_or(0, |section| section.max_message);
        let max_exchanges = section.as_ref().map_or(0, |section| section.max_exchanges);
        Self {
            link: section.map(|section| section.link).unwrap_or_default(),
            max_exchanges,
            gateway_wait,
            max_message: max_message as u64,
            socket_max_message: max_message.min(usize::try_from(socket).unwrap_or(usize::MAX)),
            ping,
            silence,
        }
    }

    /// Bytes that a client may make us hold: of its body or its messages, and of what it does not take.
    pub(crate) fn memory(&self) -> u64 {
        let message = self.socket_max_message.max(socket::PIECE) as u64;
        u64::from(link::CREDIT) + upload::SMALL.max(message)
    }
}
