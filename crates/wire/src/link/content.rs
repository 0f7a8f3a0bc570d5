use std::fmt;

use super::HIGHEST;
use super::head::{Headers, RequestHead, ResponseHead};

/// The two ends of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// The HTTP front end, a worker of it: it connects.
    FrontEnd,
    /// The gateway.
    Gateway,
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::FrontEnd => "front end",
            Self::Gateway => "gateway",
        })
    }
}

/// One frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Which exchange it belongs to; 0 for the link itself.
    pub exchange: u64,
    /// What it says.
    pub content: Content<'a>,
}

/// What a frame says. `docs/link.md` has who sends it and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content<'a> {
    /// The first frame of each side.
    Hello(Hello<'a>),
    /// Begins an exchange.
    Request {
        /// What it is about.
        head: RequestHead<'a>,
        /// The client's headers.
        headers: Headers<'a>,
        /// Whether there is no body.
        end: bool,
    },
    /// A piece of a body, or bytes for an upgraded connection.
    Data {
        /// The piece.
        bytes: &'a [u8],
        /// Whether it is the last.
        end: bool,
        /// With `end`, from the gateway: whether the client's connection is closed, too.
        close: bool,
    },
    /// Data of the gateway for a connection of socket messages, of whose message further data follow.
    Part(&'a [u8]),
    /// A WebSocket or socket message of a client, or a piece of one.
    Message {
        /// The first byte of the WebSocket frame, FIN set; 0 for socket messages.
        flags: u8,
        /// The path of a socket message; empty for WebSockets, and in pieces after the first.
        path: &'a [u8],
        /// The piece.
        bytes: &'a [u8],
        /// Whether further pieces follow.
        more: bool,
    },
    /// Begins an answer.
    Response {
        /// What it says.
        head: ResponseHead<'a>,
        /// The handler's headers.
        headers: Headers<'a>,
        /// Whether there is no body.
        end: bool,
        /// With `end`: whether the client's connection is closed, too.
        close: bool,
    },
    /// A WebSocket handshake is taken.
    Upgrade {
        /// What it says.
        head: ResponseHead<'a>,
        /// The handler's headers.
        headers: Headers<'a>,
    },
    /// Ends an exchange before its time.
    Cancel(Cancel),
    /// So many more bytes may be sent, 1 or more.
    Credit(u32),
    /// The connection is not idle.
    Touch,
    /// The gateway wants a cancel when the client's connection is gone, even if the exchange is over then.
    Watch,
    /// No new exchanges.
    GoAway(GoAway<'a>),
    /// Are you there?
    Ping {
        /// Repeated in the answer.
        context: u64,
        /// Whether this is the answer.
        is_answer: bool,
    },
}

/// What each side says first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hello<'a> {
    /// The lowest version that the sender speaks.
    pub lowest: u8,
    /// The highest.
    pub highest: u8,
    /// How many bytes of an exchange the other side may send before it gets more credit.
    pub credit: u32,
    /// The longest payload that the sender takes.
    pub payload: u32,
    /// How many exchanges the sender takes at a time; without a meaning from a front end.
    pub exchanges: u32,
    /// Who speaks, for the log: a section and a worker, `wsgi:alt/0`. At most 255 bytes.
    pub name: &'a [u8],
}

impl Hello<'_> {
    /// The highest version that the sender and we speak.
    pub fn version(&self) -> u8 {
        self.highest.min(HIGHEST)
    }
}

/// Why an exchange ends before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cancel {
    /// Why.
    pub reason: Reason,
    /// Seconds for a `Retry-After`; 0 for none.
    pub retry_after: u16,
}

macro_rules! codes {
    ($(#[$doc:meta])* $name:ident { $($(#[$code_doc:meta])* $variant:ident = $code:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$code_doc])* $variant,)+
        }

        impl $name {
            /// All of them, in the order of their codes.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            pub(super) fn code(self) -> u8 {
                match self {
                    $(Self::$variant => $code,)+
                }
            }

            pub(super) fn of(code: u8) -> Option<Self> {
                match code {
                    $($code => Some(Self::$variant),)+
                    _ => None,
                }
            }
        }
    };
}

codes! {
    /// Why an exchange ends before its time; below 32 a front end's, from there on a gateway's reasons.
    Reason {
        /// The client closed or reset its connection.
        ClientLeft = 1,
        /// The client broke a rule of its protocol.
        ClientBroke = 2,
        /// The client was idle for too long.
        ClientIdle = 3,
        /// The front end stops.
        FrontEndStops = 4,
        /// Somebody ended the connection by hand.
        Killed = 5,
        /// The front end waits no longer.
        FrontEndTimeout = 6,
        /// No handler is connected: 503.
        NoHandler = 32,
        /// The handler has not answered in time: 504.
        HandlerTimeout = 33,
        /// What the handler answered cannot be understood: 502.
        HandlerBroke = 34,
        /// The handler left after it had got the request: 502.
        HandlerLeft = 35,
        /// Too much waits for handlers already: 503.
        Overload = 36,
        /// The gateway has no handler of this name: 502.
        UnknownHandler = 37,
        /// The request's body is too large for the handler: 413.
        TooLarge = 38,
        /// The handler ended the exchange at once: the connection is closed.
        HandlerCancelled = 39,
        /// The gateway stops, and no handler has seen the request: it may be tried elsewhere.
        GatewayStops = 40,
        /// The gateway has failed: 500.
        GatewayFailed = 41,
    }
}

codes! {
    /// Why a side wants no new exchanges.
    GoAwayReason {
        /// It stops when what is open has ended.
        Stops = 1,
        /// The other side broke a rule; the link is closed at once.
        Broke = 2,
        /// It speaks none of the other side's versions; the link is closed at once.
        Version = 3,
    }
}

/// No new exchanges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GoAway<'a> {
    /// Why.
    pub reason: GoAwayReason,
    /// The last exchange that was taken; those above it were not looked at, and may be tried elsewhere.
    pub last: u64,
    /// For the log.
    pub text: &'a [u8],
}
