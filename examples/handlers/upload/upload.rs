//! Takes uploads, with a page that shows how far they are: `upload FOLDER [SEND_SPEC RECV_SPEC]`.
//!
//! A small body is in the request. A large one is written to a file by the server, which says so before
//! it begins, when it can still be refused, and when it is done: then an answer is due, and the file is
//! ours if we move it away.
#![forbid(unsafe_code)]

use std::error::Error;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use brim_handler::{Bytes, Key, Kind, Replies, Request, Upload, http};
use percent_encoding::percent_decode;
use ring::digest::{Context, SHA256};
use serde_json::json;

const PAGE: &str = include_str!("page.html");
/// The largest upload, in bytes.
const LIMIT: u64 = 10 << 30;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(arguments.next().ok_or("upload FOLDER [SEND_SPEC RECV_SPEC]")?);
    let send_spec = arguments.next().unwrap_or_else(|| "tcp://127.0.0.1:9997".to_owned());
    let recv_spec = arguments.next().unwrap_or_else(|| "tcp://127.0.0.1:9996".to_owned());
    let (mut requests, replies) = brim_handler::connect(&send_spec, &recv_spec)?;
    loop {
        match requests.recv().await {
            Ok(request) => event(request, &replies, &folder).await?,
            Err(error) => eprintln!("a message that is no request: {error}"),
        }
    }
}

async fn event(request: Request, replies: &Replies, folder: &Path) -> http::Result<()> {
    match (request.kind(), request.method(), request.upload()) {
        (Kind::Http, Some(b"GET"), None) => {
            let page = http::Response::builder().header("content-type", "text/html; charset=utf-8");
            replies.respond(&request, &page.body(PAGE)?).await;
        }
        (Kind::Http, _, Some(Upload::Started(_))) => {
            let is_too_large = request.content_length().is_some_and(|length| length > LIMIT);
            if is_too_large {
                let refusal = http::Response::builder().status(413).header("connection", "close");
                replies.respond(&request, &refusal.body("Too large.\n")?).await;
            }
        }
        (Kind::Http, _, upload) => {
            let source = match upload {
                Some(Upload::Finished(path)) => Source::File(path_of(path)),
                _ => Source::Body(request.body.clone()),
            };
            let (replies, folder) = (replies.clone(), folder.to_owned());
            // To read a file takes its time, in which others are served.
            tokio::spawn(async move {
                let name = file_name(request.headers.key(Key::Query).unwrap_or_default());
                let kept = tokio::task::spawn_blocking(move || keep(source, &folder, name)).await;
                let response = match kept.unwrap_or_else(|error| Err(io::Error::other(error))) {
                    Ok(answer) => http::Response::new(answer),
                    Err(error) => {
                        let mut failure = http::Response::new(format!("{error}\n"));
                        *failure.status_mut() = http::StatusCode::INTERNAL_SERVER_ERROR;
                        failure
                    }
                };
                replies.respond(&request, &response).await;
            });
        }
        _ => {}
    }
    Ok(())
}

enum Source {
    File(PathBuf),
    Body(Bytes),
}

/// Puts what was uploaded into the folder; returns what the page is told.
fn keep(source: Source, folder: &Path, name: String) -> io::Result<String> {
    let target = folder.join(&name);
    let mut digest = Context::new(&SHA256);
    match source {
        Source::Body(body) => {
            digest.update(&body);
            fs::write(&target, body)?;
        }
        Source::File(path) => {
            let mut file = File::open(&path)?;
            let mut piece = vec![0; 1 << 18];
            loop {
                match file.read(&mut piece)? {
                    0 => break,
                    count => digest.update(&piece[..count]),
                }
            }
            // Another file system wants a copy.
            if fs::rename(&path, &target).is_err() {
                fs::copy(&path, &target)?;
                fs::remove_file(&path)?;
            }
        }
    }
    let hex: String = digest.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let bytes = target.metadata()?.len();
    Ok(json!({"name": name, "bytes": bytes, "sha256": hex}).to_string())
}

/// The last part of `name=` in the query, or `upload`.
fn file_name(query: &[u8]) -> String {
    let fields = query.split(|byte| *byte == b'&');
    let value = fields.filter_map(|field| field.strip_prefix(b"name=")).next().unwrap_or_default();
    let name = percent_decode(value).decode_utf8_lossy().into_owned();
    let last = Path::new(&name).file_name().map(|name| name.to_string_lossy().into_owned());
    last.unwrap_or_else(|| "upload".to_owned())
}

fn path_of(bytes: &[u8]) -> PathBuf {
    use std::os::unix::ffi::OsStrExt;
    PathBuf::from(std::ffi::OsStr::from_bytes(bytes))
}
