//! What the figures are made with. `make bench` prints them; `README.md` says how to read them.
//!
//! ```text
//! main -> contest (rounds in turn) -> load (wrk)       -> report
//!      -> idle    (connections)    -> client            |
//!      -> slow    (attacks)        -> steady ----------->+
//!      -> handlers, sockets        -> load, rate ------->+
//!      -> relays, datagrams        -> rivals ----------->+
//!                    |
//!                 site, peers -> server
//! ```
#![forbid(unsafe_code)]

pub mod client;
pub mod contest;
pub mod datagrams;
pub mod handlers;
pub mod idle;
pub mod load;
pub mod peers;
pub mod rate;
pub mod relays;
pub mod rivals;
pub mod server;
pub mod site;
pub mod slow;
pub mod sockets;
pub mod steady;

/// The middle one.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
