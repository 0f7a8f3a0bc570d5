//! Handlers in Rust: programs that answer HTTP and WebSocket clients by way of a server that speaks
//! "Mongrel2's protocol", as `brim-gateway` and Mongrel2 do.
//!
//! The server sends each request as a message and takes replies as messages. Replies say which clients
//! they are for, so one reply may go to many, one request may have many replies, and a reply may come
//! from another process, or an hour later. How one follows the other here:
//!
//! 1. [`connect`] takes the server's two endpoints and returns both halves. It connects by itself, for
//!    the first time and after each loss.
//! 2. [`Requests::recv`] waits for the next [`Request`]. Its [`Kind`] tells requests of clients from
//!    messages of WebSockets and from the server's own notices.
//! 3. [`Replies`], which any number of tasks can have, answer: [`Replies::respond`] by a
//!    [response](http::Response) that is whole, [`Replies::send`] and [`Replies::send_to_all`] by bytes
//!    as they are, such as those of [`response`] and [`websocket`].
//!
//! ```no_run
//! use brim_handler::{Kind, http};
//!
//! #[tokio::main(flavor = "current_thread")]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     // As `send_spec` and `recv_spec` stand in the server's configuration.
//!     let (mut requests, replies) =
//!         brim_handler::connect("tcp://127.0.0.1:9997", "tcp://127.0.0.1:9996")?;
//!     loop {
//!         let request = requests.recv().await?;
//!         if request.kind() == Kind::Http {
//!             replies.respond(&request, &http::Response::new("Hello.\n")).await;
//!         }
//!     }
//! }
//! ```
//!
//! Nothing here has a deadline: a handler may take as long as its clients wait. What a handler sends while
//! there is no connection is lost, as it is with any socket that publishes; the clients that it was
//! for are gone as well.
#![forbid(unsafe_code)]
#![warn(clippy::indexing_slicing)]

mod connection;
mod replies;
mod request;
pub mod response;
pub mod websocket;

pub use brim_wire::MessageError;
pub use brim_wire::reply::{Control, TARGETS};
pub use brim_wire::request::{Encoding, Key};
pub use brim_wire::websocket::Flags;
pub use bytes::Bytes;
pub use http;

pub use connection::{ConnectError, Requests, connect};
pub use replies::Replies;
pub use request::{Client, Headers, Kind, Request, Upload};
