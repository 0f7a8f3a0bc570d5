//! What `handlers/hello.py` does for a plain request, by the library, and WebSockets that say nothing.
//!
//! Usage: `hello-handler SEND_SPEC RECV_SPEC`
#![forbid(unsafe_code)]

use std::error::Error;

use brim_handler::{Kind, http, websocket};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut spec = || arguments.next().ok_or("hello-handler SEND_SPEC RECV_SPEC");
    let (mut requests, replies) = brim_handler::connect(&spec()?, &spec()?)?;
    let answer = http::Response::builder().header("content-type", "text/plain").body("Hello\n")?;
    loop {
        let request = requests.recv().await?;
        match request.kind() {
            Kind::Http => replies.respond(&request, &answer).await,
            Kind::Handshake => {
                if let Some(answer) = websocket::accept(&request, None) {
                    replies.send(&request.client, &answer).await;
                }
            }
            _ => {}
        }
    }
}
