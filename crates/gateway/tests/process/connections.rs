//! `conn_id = connection`: one id for all requests of a client's connection, and what its handlers hear of its end.

use crate::support::{Ask, Front, Gateway, Got, Puppet, start};
use crate::trials;

trials! {
    ids_of_connections_stay_if_the_handler_wants_that
    a_client_that_leaves_between_requests_is_told_of_once
    a_client_that_leaves_during_a_request_is_told_of_once
    every_handler_that_met_a_client_hears_that_it_left
    the_end_of_a_link_is_that_of_its_clients
    a_client_that_waits_for_nothing_is_not_gone
    a_handler_that_has_closed_a_connection_hears_no_more_of_it
    an_id_that_was_told_of_is_not_used_again
    a_front_end_of_version_1_is_not_asked_to_watch
    without_it_nobody_is_watched
    requests_of_http2_have_an_id_each
}

/// A request of this connection that is answered; its exchange and id.
fn asked(front: &mut Front, puppet: &mut Puppet, connection: u64) -> (u64, u32) {
    let exchange = front.ask(&Ask { connection, ..Ask::default() });
    let id = puppet.hear().id;
    puppet.answer(id, "x");
    assert_eq!(front.answer(exchange).body, b"x");
    (exchange, id)
}

fn ids_of_connections_stay_if_the_handler_wants_that() {
    let (_gateway, mut front, mut puppet) = start("conn_id = connection");
    let ids = [7, 7, 8, 7].map(|connection| asked(&mut front, &mut puppet, connection).1);
    assert!(ids[0] == ids[1] && ids[1] == ids[3] && ids[2] != ids[0], "{ids:?}");
}

fn a_client_that_leaves_between_requests_is_told_of_once() {
    let (_gateway, mut front, mut puppet) = start("conn_id = connection");
    let first = front.ask(&Ask::default());
    let id = puppet.hear().id;
    assert_eq!(front.next(first), Got::Watch);
    puppet.answer(id, "");
    assert_eq!(front.answer(first).status, 200);
    // Once is enough.
    let second = front.ask(&Ask::default());
    assert_eq!(puppet.hear().id, id);
    puppet.answer(id, "");
    assert!(matches!(front.next(second), Got::Head { status: 200, .. }));
    front.leave(second);
    assert!(puppet.hears_nothing());
    front.leave(first);
    puppet.hear_leave(id);
    front.leave(first);
    let (_, other) = asked(&mut front, &mut puppet, 2);
    assert_ne!(other, id);
}

fn a_client_that_leaves_during_a_request_is_told_of_once() {
    let (_gateway, mut front, mut puppet) = start("conn_id = connection");
    // The cancel of the request under way may come before or after that of the watched one.
    for is_first in [true, false] {
        let connection = if is_first { 1 } else { 2 };
        let (first, id) = asked(&mut front, &mut puppet, connection);
        let second = front.ask(&Ask { connection, ..Ask::default() });
        assert_eq!(puppet.hear().id, id);
        let order = if is_first { [first, second] } else { [second, first] };
        order.into_iter().for_each(|exchange| front.leave(exchange));
        puppet.hear_leave(id);
        // Nothing comes before the next request.
        asked(&mut front, &mut puppet, 3);
    }
    let only = front.ask(&Ask { connection: 4, ..Ask::default() });
    let id = puppet.hear().id;
    front.leave(only);
    front.leave(only);
    puppet.hear_leave(id);
    asked(&mut front, &mut puppet, 3);
}

fn every_handler_that_met_a_client_hears_that_it_left() {
    let other = "[i]\ncall = handler\nsend_spec = ipc://FOLDER/send-i\n\
                 recv_spec = ipc://FOLDER/recv-i\nsend_ident = u-1\nhandler_wait = 10s\n\
                 conn_id = connection";
    let keys = format!("handler_wait = 10s\nconn_id = connection\n{other}");
    let gateway = Gateway::start(&keys);
    let mut one = gateway.puppet(&[]);
    let at = |name| format!("ipc://{}", gateway.path(name).display());
    let mut two = Puppet::start(&at("send-i"), &at("recv-i"), &[]);
    let mut front = Front::connect(&gateway);
    let (first, id) = asked(&mut front, &mut one, 1);
    let exchange = front.ask(&Ask { handler: "i", ..Ask::default() });
    assert_eq!(two.hear().id, id);
    two.answer(id, "");
    assert_eq!(front.answer(exchange).status, 200);
    front.leave(first);
    one.hear_leave(id);
    two.hear_leave(id);
}

fn the_end_of_a_link_is_that_of_its_clients() {
    let (gateway, mut front, mut puppet) = start("conn_id = connection");
    let (_, one) = asked(&mut front, &mut puppet, 1);
    let mut other = Front::connect(&gateway);
    let (_, two) = asked(&mut other, &mut puppet, 1);
    assert_ne!(one, two);
    drop(front);
    puppet.hear_leave(one);
    assert_eq!(asked(&mut other, &mut puppet, 1).1, two);
}

fn a_client_that_waits_for_nothing_is_not_gone() {
    let (_gateway, mut front, mut puppet) = start("conn_id = connection");
    let (_, id) = asked(&mut front, &mut puppet, 1);
    puppet.reply(&[id], "late");
    // So that it has come.
    asked(&mut front, &mut puppet, 2);
    assert_eq!(asked(&mut front, &mut puppet, 1).1, id);
}

fn a_handler_that_has_closed_a_connection_hears_no_more_of_it() {
    let (_gateway, mut front, mut puppet) = start("conn_id = connection");
    let (first, id) = asked(&mut front, &mut puppet, 1);
    puppet.reply(&[id], "");
    // So that the kill has come.
    asked(&mut front, &mut puppet, 2);
    front.leave(first);
    let ended = front.ask(&Ask { connection: 3, ..Ask::default() });
    let id = puppet.hear().id;
    puppet.reply(&[id], "HTTP/1.1 200 OK\r\n\r\nx");
    puppet.reply(&[id], "");
    assert_eq!(front.answer(ended).body, b"x");
    front.leave(ended);
    asked(&mut front, &mut puppet, 2);
}

fn an_id_that_was_told_of_is_not_used_again() {
    let (_gateway, mut front, mut puppet) = start("conn_id = connection\nhandler_timeout = 300ms");
    let (first, id) = asked(&mut front, &mut puppet, 1);
    let late = front.ask(&Ask::default());
    assert_eq!(puppet.hear().id, id);
    assert!(front.answer(late).cancel.is_some());
    puppet.hear_leave(id);
    let (_, next) = asked(&mut front, &mut puppet, 1);
    assert_ne!(next, id);
    front.leave(first);
    assert_eq!(asked(&mut front, &mut puppet, 1).1, next);
}

fn a_front_end_of_version_1_is_not_asked_to_watch() {
    let gateway = Gateway::start("handler_wait = 10s\nconn_id = connection");
    let mut puppet = gateway.puppet(&[]);
    let mut front = Front::of_version_1(&gateway);
    let exchange = front.ask(&Ask::default());
    let id = puppet.hear().id;
    puppet.answer(id, "");
    assert!(matches!(front.next(exchange), Got::Head { .. }));
    assert_eq!(asked(&mut front, &mut puppet, 1).1, id);
    drop(front);
    puppet.hear_leave(id);
}

fn without_it_nobody_is_watched() {
    let (_gateway, mut front, mut puppet) = start("");
    let exchange = front.ask(&Ask::default());
    let id = puppet.hear().id;
    puppet.answer(id, "");
    assert!(matches!(front.next(exchange), Got::Head { .. }));
    front.leave(exchange);
    let (_, next) = asked(&mut front, &mut puppet, 1);
    assert_ne!(next, id);
    drop(front);
    assert!(puppet.hears_nothing());
}

fn requests_of_http2_have_an_id_each() {
    let (_gateway, mut front, mut puppet) = start("conn_id = connection");
    let mut ids = Vec::new();
    for _ in 0..2 {
        let exchange = front.ask(&Ask { version: 20, ..Ask::default() });
        let id = puppet.hear().id;
        puppet.answer(id, "");
        assert!(matches!(front.next(exchange), Got::Head { .. }));
        front.leave(exchange);
        ids.push(id);
    }
    assert_ne!(ids[0], ids[1]);
}
