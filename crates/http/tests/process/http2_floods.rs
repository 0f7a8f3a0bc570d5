//! Clients of HTTP/2 that mean harm: each sends one thing without end, and is cut off or held back,
//! while others are served and little memory is taken.

use crate::http2::serve_unix;
use crate::support::{Frames, kind};

/// The most resident memory that a flood may cost, in KiB.
const COST: u64 = 16 * 1024;

/// Floods until the connection is gone, or so often; then others must be served as ever.
fn flood(
    keys: &str,
    settings: &[(u16, u32)],
    mut turn: impl FnMut(&mut Frames, u32) -> bool,
) -> bool {
    let (daemon, path) = serve_unix(keys);
    let mut client = Frames::connect(&path, &[]);
    assert!(client.request(1, "GET", "/echo", true));
    client.body(1).unwrap();
    let before = daemon.memory();
    let mut client = Frames::connect(&path, settings);
    let cut = (0..2000).any(|round| !turn(&mut client, round));
    let cost = daemon.memory().saturating_sub(before);
    assert!(cost < COST, "{cost} KiB");
    let mut other = Frames::connect(&path, &[]);
    assert!(other.request(1, "GET", "/echo", true));
    assert!(other.body(1).is_some());
    cut
}

#[test]
fn requests_taken_back_at_once_end_the_connection() {
    let cut = flood("apps = echo slow\nhttp2_max_resets = 100", &[], |client, round| {
        let stream = 2 * round + 1;
        client.request(stream, "GET", "/slow?seconds=30", true)
            && client.send(kind::RST_STREAM, 0, stream, &8u32.to_be_bytes())
    });
    assert!(cut);
}

#[test]
fn a_client_that_takes_some_requests_back_is_served_on() {
    let (_daemon, path) = serve_unix("apps = echo slow\nhttp2_max_resets = 10");
    let mut client = Frames::connect(&path, &[]);
    for round in 0..20 {
        let stream = 6 * round + 1;
        assert!(client.request(stream, "GET", "/slow?seconds=30", true));
        assert!(client.send(kind::RST_STREAM, 0, stream, &8u32.to_be_bytes()));
        for stream in [stream + 2, stream + 4] {
            assert!(client.request(stream, "GET", "/echo", true));
            assert!(client.body(stream).is_some());
        }
    }
}

#[test]
fn pings_end_the_connection() {
    assert!(flood("apps = echo", &[], |client, _| client.send_many(1000, kind::PING, 0, &[0; 8])));
}

#[test]
fn settings_end_the_connection() {
    assert!(flood("apps = echo", &[], |client, _| {
        client.send_many(1000, kind::SETTINGS, 0, &[0, 3, 0, 0, 0, 100])
    }));
}

#[test]
fn a_head_without_end_ends_the_connection() {
    let mut begun = false;
    assert!(flood("apps = echo", &[], move |client, _| {
        let sent = begun || client.request_without_end(1, "/echo");
        begun = true;
        sent && client.send_many(100, kind::CONTINUATION, 1, &[])
    }));
    let mut begun = false;
    let field = crate::support::literal("x-more", &"x".repeat(100));
    assert!(flood("apps = echo", &[], move |client, _| {
        let sent = begun || client.request_without_end(1, "/echo");
        begun = true;
        sent && client.send_many(100, kind::CONTINUATION, 1, &field)
    }));
}

#[test]
fn empty_pieces_of_a_body_end_the_connection() {
    let mut begun = false;
    assert!(flood("apps = slow echo", &[], move |client, _| {
        let sent = begun || client.request(1, "POST", "/slow?seconds=60", false);
        begun = true;
        sent && client.send_many(1000, kind::DATA, 1, &[])
    }));
}

#[test]
fn one_stream_more_than_the_limit_is_refused() {
    let (_daemon, path) = serve_unix("apps = slow\nhttp2_max_streams = 3");
    let mut client = Frames::connect(&path, &[]);
    let settings = client.next_of(kind::SETTINGS).unwrap();
    assert!(settings.payload.chunks(6).any(|entry| entry == [0, 3, 0, 0, 0, 3]), "{settings:?}");
    for stream in [1, 3, 5, 7] {
        assert!(client.request(stream, "GET", "/slow?seconds=1", true));
    }
    let reset = client.next_of(kind::RST_STREAM).unwrap();
    assert_eq!((reset.stream, &reset.payload[..]), (7, &7u32.to_be_bytes()[..]), "REFUSED_STREAM");
    assert!(client.body(5).is_some());
}

#[test]
fn a_client_may_not_send_more_than_the_window_while_nobody_reads() {
    let (_daemon, path) = serve_unix("apps = slow\nhttp2_window = 64K");
    let mut client = Frames::connect(&path, &[]);
    assert!(client.request(1, "POST", "/slow?seconds=60", false));
    for _ in 0..4 {
        assert!(client.send(kind::DATA, 0, 1, &[0; 16384]));
    }
    client.send(kind::DATA, 0, 1, &[0; 16384]);
    // FLOW_CONTROL_ERROR, of the stream or of the connection.
    let frame = std::iter::from_fn(|| client.next())
        .find(|frame| [kind::RST_STREAM, kind::GOAWAY].contains(&frame.kind));
    let payload = frame.unwrap().payload;
    assert!(payload.ends_with(&3u32.to_be_bytes()), "{payload:?}");
}
