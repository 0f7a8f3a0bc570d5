//! The keys of an HTTP section that are about HTTP/2.

use crate::keys::narrow;
use crate::quantity::{Count, SizeWithin};
use crate::reader::Reader;

/// How a section speaks HTTP/2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Http2Keys {
    /// `http2`: yes or no, HTTP/2 for clients that ask for it in a TLS handshake; default yes.
    pub on: bool,
    /// `h2c`: yes or no, HTTP/2 on Unix sockets for clients that begin with it; default no.
    pub h2c: bool,
    /// `http2_max_streams`: requests at once on one connection, 1 to 1000, default 100.
    pub max_streams: u32,
    /// `http2_max_resets`: requests that a client may take back on one connection while it does little
    /// else, then the connection is closed; 1 to 100000, default 200.
    pub max_resets: usize,
    /// `http2_max_control`: frames other than requests and bodies that a client may send at once on one
    /// connection, then it is closed; time and responses earn more; 100 to 1000000, default 2000.
    pub max_control: u32,
    /// `http2_window`: size of what a client may send on one connection before somebody reads it, 64K to
    /// 16M, default 1M.
    pub window: u32,
}

impl Http2Keys {
    /// Takes the keys from a reader.
    pub(crate) fn take(r: &mut Reader<'_>) -> Self {
        Self {
            on: r.get_or("http2", true),
            h2c: r.get_or("h2c", false),
            max_streams: narrow(r.get_or("http2_max_streams", Count::<1, 1000>(100)).0),
            max_resets: narrow(r.get_or("http2_max_resets", Count::<1, 100_000>(200)).0),
            max_control: narrow(r.get_or("http2_max_control", Count::<100, 1_000_000>(2000)).0),
            window: narrow(
                r.get_or("http2_window", SizeWithin::<{ 64 << 10 }, { 16 << 20 }>(1 << 20)).0,
            ),
        }
    }
}
