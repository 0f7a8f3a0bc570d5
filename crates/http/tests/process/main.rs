//! The real `brim-http` over real sockets.
//!
//! The test plays systemd: it opens the listening socket, hands it over, hears `READY=1`, and ends
//! what it started. `support` is that; each other file is a subject.
#![expect(clippy::unwrap_used, reason = "a test's helpers fail as the test itself does")]

mod support;

mod access_log;
mod access_output;
mod balance;
mod basic_auth;
mod bus;
mod chain;
mod command_line;
mod compress;
mod conversation;
mod counters;
mod direct;
mod drain;
mod echo;
mod error_pages;
mod files;
mod files_cache;
mod files_held;
mod files_places;
mod files_sending;
mod handler;
mod handler_credit;
mod handler_link;
mod handler_messages;
mod handler_pings;
mod handler_tungstenite;
mod handler_watch;
mod handler_websocket;
mod headers;
mod heads;
mod hello;
mod holding;
mod http2;
mod http2_floods;
mod limits;
mod linger;
mod listeners;
mod panics;
mod proxy;
mod proxy_choice;
mod proxy_faults;
mod proxy_keeping;
mod proxy_protocol;
mod proxy_tls;
mod proxy_tunnel;
mod proxy_upstreams;
mod rate_limit;
mod redirect;
mod reload;
mod reload_listeners;
mod room;
mod routes;
mod routing;
mod smuggling;
mod stats;
mod timeouts;
mod tls;
mod tls_names;
mod turmoil;
mod watchdog;
