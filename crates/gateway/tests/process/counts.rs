//! What is counted of what goes wrong, and whose replies count.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;

use brim_wire::link::Reason;
use brim_wire::zmtp::{Greeting, SocketType, append_message, append_ready};
use rustix::process::Signal;

use crate::support::{Ask, Front, Gateway, Got, PATIENCE};
use crate::trials;

trials! {
    every_kind_of_failure_has_its_counter
    replies_without_the_prefix_of_recv_ident_are_for_others
}

/// A handler's section beside `h`.
fn section(name: &str) -> String {
    format!(
        "[{name}]\ncall = handler\nsend_ident = u-1\n\
         send_spec = ipc://FOLDER/send-{name}\nrecv_spec = ipc://FOLDER/recv-{name}\n"
    )
}

fn every_kind_of_failure_has_its_counter() {
    let keys = "handler_wait = 10s\nhandler_timeout = 2s\nmax_inline = 1000\n";
    let mut gateway = Gateway::start(&format!("{keys}{}", section("absent")));
    let mut puppet = gateway.puppet(&[]);
    let mut front = Front::connect(&gateway);
    let of = |handler| Ask { handler, ..Ask::default() };
    let cancelled = |front: &mut Front, ask: &Ask<'_>, reason| {
        let exchange = front.ask(ask);
        assert_eq!(front.answer(exchange).cancel.map(|(reason, _)| reason), Some(reason));
    };
    cancelled(&mut front, &of("nobody"), Reason::UnknownHandler);
    cancelled(&mut front, &of("absent"), Reason::NoHandler);
    let long = Ask { body: Some(Some(1001)), ..of("h") };
    cancelled(&mut front, &long, Reason::TooLarge);
    cancelled(&mut front, &of("h"), Reason::HandlerTimeout);
    let id = puppet.hear().id;
    puppet.hear_leave(id);
    let exchange = front.get("/");
    let broken = puppet.hear().id;
    puppet.reply(&[broken], "no head\r\n\r\n");
    assert_eq!(front.answer(exchange).cancel, Some((Reason::HandlerBroke, 0)));
    puppet.hear_leave(broken);
    for message in ["no reply", "u-2 1:1, x"] {
        puppet.say(message.as_bytes());
    }
    puppet.answer(broken, "late");
    puppet.hear_leave(broken);
    let mut stranger = UnixStream::connect(gateway.path("recv")).unwrap();
    stranger.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    let _ = stranger.read_to_end(&mut Vec::new());
    let mut second = Front::connect(&gateway);
    second.hello();
    assert_eq!(second.next(0), Got::Hello);
    assert!(matches!(second.next(0), Got::GoAway(..)));
    let exchange = front.get("/");
    puppet.hear();
    drop(puppet);
    assert_eq!(front.answer(exchange).cancel, Some((Reason::HandlerLeft, 0)));
    gateway.signal(Signal::TERM);
    assert!(gateway.ends());
    for (name, count) in [
        ("request_count", 6),
        ("unknown_handler_count", 1),
        ("no_handler_count", 1),
        ("overload_count", 0),
        ("too_large_count", 1),
        ("handler_timeout_count", 1),
        ("handler_broke_count", 1),
        ("handler_left_count", 1),
        ("bad_reply_count", 1),
        ("foreign_reply_count", 1),
        ("late_reply_count", 1),
        ("bad_peer_count", 1),
        ("bad_link_count", 1),
    ] {
        assert_eq!(gateway.counted(name), count, "{name}");
    }
}

fn replies_without_the_prefix_of_recv_ident_are_for_others() {
    let gateway = Gateway::start("handler_wait = 10s\nrecv_ident = v-9");
    let mut stream = UnixStream::connect(gateway.path("recv")).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut bytes = Greeting::OURS.encode().to_vec();
    append_ready(&mut bytes, SocketType::Pub, None);
    stream.write_all(&bytes).unwrap();
    let (mut all, mut piece) = (Vec::new(), [0; 1000]);
    let subscribes = |all: &[u8]| all.ends_with(b"SUBSCRIBEv-9");
    while !subscribes(&all) {
        let count = stream.read(&mut piece).unwrap();
        assert!(count > 0, "no subscription in {}", all.escape_ascii());
        all.extend_from_slice(&piece[..count]);
    }
    // It sends what nobody has subscribed to.
    bytes.clear();
    append_message(&mut bytes, &[b"u-1 1:1, x"]);
    stream.write_all(&bytes).unwrap();
    gateway.logs("a reply has the sender u-1, expected u-1 and the prefix \"v-9\"");
    // What has the prefix arrives, and is for nobody.
    drop(stream);
    let gateway = gateway.replaced("", "handler_wait = 10s\nrecv_ident = u-");
    let _puppet = gateway.puppet(&["echo", "prefixed"]);
    let mut front = Front::connect(&gateway);
    assert_eq!(front.fetch("/x").body, b"/x prefixed");
}
