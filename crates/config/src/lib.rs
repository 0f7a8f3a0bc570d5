//! Brim's configuration: INI files and drop-ins to typed sections, every problem with file and line.
//!
//! The steps, each a file that opens the next:
//!
//! 1. `files`: which files there are below a root, as systemd looks for them (`resolve` follows links);
//! 2. `scan`: one file's bytes to sections and entries with line numbers;
//! 3. [`Tree`]: all files merged, later ones win key by key;
//! 4. `value`: one value to a Rust type, by serde;
//! 5. [`Reader`]: the keys of one section, each once, and what is left over;
//! 6. [`ServerSection`], [`HttpSection`], [`TcpSection`], [`UdpSection`]: all keys of a kind of section;
//!    [`DaemonsSection`] with a [`DaemonSection`] for each of its daemons;
//! 7. [`check()`]: what is wrong beyond single sections.
//!
//! Beside them: [`RoutePattern`] and [`HostPattern`], values that are matched against requests.
//!
//! Nothing here knows sockets, clocks or the environment, and nothing ends at the first problem:
//! each step returns a value *and* the problems it met.

#![forbid(unsafe_code)]

mod address;
mod bounded;
mod check;
mod daemon;
mod daemons;
mod files;
mod gateway;
mod handler;
mod http;
mod http2;
mod keys;
mod listen;
mod name;
mod nearest;
mod problem;
mod quantity;
mod reader;
mod resolve;
mod route;
mod scan;
mod server;
mod target;
mod tcp;
mod tls;
mod tree;
mod udp;
mod upstreams;
mod value;
mod words;

pub use address::{Address, BadAddress, Listener, SocketType};
pub use check::{check, listeners};
pub use daemon::{
    Account, DAEMON_STATS, DaemonSection, Ready, Restart, Sandbox, StatType, Work, daemon_unit,
    is_stat_name,
};
pub use daemons::{DaemonsSection, daemon_bus_label, daemon_of_bus_label};
pub use gateway::{Endpoint, GatewaySection, Role};
pub use handler::{ConnId, HandlerSection, Protocol};
pub use http::{AccessLog, AccessLogFormat, HttpSection};
pub use http2::Http2Keys;
pub use name::{Kind, NAME_MAX, SectionName, unit_object};
pub use problem::{Cause, NameRule, Origin, Problem, Severity, has_errors};
pub use quantity::{AbsolutePath, Count, Flag, Size, SizeWithin, Span, Timeout};
pub use reader::Reader;
pub use route::{
    BadHost, BadPath, BadRoute, HostName, HostPattern, RequestPath, RouteFault, RoutePattern,
};
pub use server::{LogLevel, ServerSection, Start, TrustedProxies, Workers, no_section};
pub use target::{BadTarget, Target, is_name as is_host_name};
pub use tcp::TcpSection;
pub use tls::{ClientCert, TlsKeys};
pub use tree::{Entry, Section, Tree};
pub use udp::UdpSection;
pub use upstreams::upstreams;
pub use value::{ValueError, parse as parse_value};
pub use words::{BadWords, words};
