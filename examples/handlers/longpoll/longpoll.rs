//! A long poll: `longpoll [SEND_SPEC RECV_SPEC]`.
//!
//! A GET waits for the next message, a POST is one. All who wait get it by one reply; whoever waits for
//! 25 seconds in vain is told so by a 204, and asks again.
#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::error::Error;
use std::time::{Duration, Instant};

use brim_handler::{Client, Kind, Replies, Request, http, response};

/// Shorter than what stands between client and handler waits at most.
const PATIENCE: Duration = Duration::from_secs(25);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let send_spec = arguments.next().unwrap_or_else(|| "tcp://127.0.0.1:9997".to_owned());
    let recv_spec = arguments.next().unwrap_or_else(|| "tcp://127.0.0.1:9996".to_owned());
    let (mut requests, replies) = brim_handler::connect(&send_spec, &recv_spec)?;
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    let mut waiting = HashMap::new();
    loop {
        tokio::select! {
            request = requests.recv() => match request {
                Ok(request) => event(&request, &replies, &mut waiting).await?,
                Err(error) => eprintln!("a message that is no request: {error}"),
            },
            _ = tick.tick() => {
                let late = |since: &Instant| since.elapsed() >= PATIENCE;
                let late: Vec<Client> =
                    waiting.extract_if(|_, since| late(since)).map(|(client, _)| client).collect();
                let nothing = http::Response::builder().status(204).body("")?;
                replies.send_to_all(&late, &response::whole(&nothing)).await;
            }
        }
    }
}

async fn event(
    request: &Request,
    replies: &Replies,
    waiting: &mut HashMap<Client, Instant>,
) -> http::Result<()> {
    match (request.kind(), request.method()) {
        (Kind::Http, Some(b"GET")) => {
            waiting.insert(request.client.clone(), Instant::now());
        }
        (Kind::Http, Some(b"POST")) => {
            let message = http::Response::builder().header("content-type", "text/plain");
            let message = response::whole(&message.body(&request.body)?);
            replies.send_to_all(waiting.keys(), &message).await;
            let told = format!("{} told\n", waiting.len());
            waiting.clear();
            replies.respond(request, &http::Response::new(told)).await;
        }
        (Kind::Http, _) => {
            let refusal = http::Response::builder().status(405).header("allow", "GET, POST");
            replies.respond(request, &refusal.body("GET waits, POST tells.\n")?).await;
        }
        (Kind::Disconnect, _) => {
            waiting.remove(&request.client);
        }
        _ => {}
    }
    Ok(())
}
