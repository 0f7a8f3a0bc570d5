//! Answers each request with what the handler got: `dump [SEND_SPEC RECV_SPEC]`.
#![forbid(unsafe_code)]

use std::error::Error;
use std::fmt::Write as _;

use brim_handler::{Kind, Request, Upload, http};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let send_spec = arguments.next().unwrap_or_else(|| "tcp://127.0.0.1:9997".to_owned());
    let recv_spec = arguments.next().unwrap_or_else(|| "tcp://127.0.0.1:9996".to_owned());
    let (mut requests, replies) = brim_handler::connect(&send_spec, &recv_spec)?;
    loop {
        let request = match requests.recv().await {
            Ok(request) => request,
            Err(error) => {
                eprintln!("a message that is no request: {error}");
                continue;
            }
        };
        let text = dump(&request);
        println!("{text}");
        // A large body comes in two steps, and only the second one is to be answered.
        if request.kind() == Kind::Http && !matches!(request.upload(), Some(Upload::Started(_))) {
            let response = http::Response::builder().header("content-type", "text/plain");
            replies.respond(&request, &response.body(text)?).await;
        }
    }
}

fn dump(request: &Request) -> String {
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    let mut out = format!("client   {}\npath     {}\n", request.client, text(&request.path));
    let _ = writeln!(out, "about    {:?}", request.kind());
    for (name, value) in request.headers.iter() {
        let _ = writeln!(out, "header   {}: {}", text(name), text(value));
    }
    let _ = writeln!(out, "body     {} bytes", request.body.len());
    if !request.body.is_empty() {
        let _ = writeln!(out, "\n{}", text(&request.body));
    }
    out
}
