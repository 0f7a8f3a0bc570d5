//! Handlers by libzmq (pyzmq) and by the crate `zeromq`, unchanged behind Brim and behind Mongrel2. What they see
//! and what their clients see is the same, or Brim's page says why not.
//!
//! Nothing is skipped: what the machine lacks (python3-zmq, mongrel2-core, chromium, ...) is a failure. `make setup`
//! installs it.
#![forbid(unsafe_code)]

mod browser;
mod client;
mod examples;
mod exchange;
mod killed;
mod messages;
mod server;
mod setup;
mod uploads;
mod websocket;
mod workers;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

use server::Kind;
use setup::{Setup, Witness};

type RunExample = fn(Kind);

/// What is tried with every server and every kind of handler.
type Run = fn(&Setup);
const ALL: [(&str, Run); 17] = [
    ("a_request_arrives_as_it_was_sent", exchange::a_request_arrives),
    ("an_answer_may_come_in_any_pieces", exchange::an_answer_may_come_in_any_pieces),
    ("a_connection_stays_as_long_as_both_want", exchange::a_connection_stays),
    ("a_stream_goes_on_until_it_is_closed", exchange::a_stream_goes_on),
    ("one_message_answers_many_who_wait", exchange::one_message_answers_many),
    ("a_client_that_leaves_is_told_of", exchange::a_client_that_leaves_is_told_of),
    ("a_session_ends_with_its_connection", exchange::a_session_ends),
    ("a_reply_to_nobody_is_told_of", exchange::a_reply_to_nobody_is_told_of),
    ("a_websocket_carries_messages_both_ways", websocket::messages_both_ways),
    ("a_websocket_that_ends_is_told_of", websocket::an_end_is_told_of),
    ("socket_messages_are_answered_on_their_connection", messages::are_answered),
    ("a_small_body_comes_within_its_request", uploads::a_small_body_comes_within),
    ("a_large_body_comes_as_a_file", uploads::a_large_body_comes_as_a_file),
    ("an_upload_that_is_refused_leaves_no_file", uploads::a_refused_one_leaves_no_file),
    ("an_upload_that_breaks_off_leaves_no_file", uploads::a_broken_one_leaves_no_file),
    ("a_large_body_comes_in_pieces_as_asked_for", uploads::pieces_as_asked_for),
    ("workers_share_what_comes", workers::share),
];

/// What only a handler that writes its own bytes can do.
const PYTHON: [(&str, Run); 2] = [
    ("heartbeats_go_on_beside_requests", workers::heartbeats),
    ("a_reply_that_is_none_costs_itself_alone", exchange::a_bad_reply_costs_itself),
];

/// What Brim does better.
const BRIM: [(&str, Run); 8] = [
    ("a_gateway_that_is_restarted_costs_nothing", workers::gateway_is_restarted),
    ("a_gateway_that_is_killed_costs_what_it_had", workers::gateway_is_killed),
    ("streams_and_polls_end_with_a_gateway_that_is_killed", killed::what_is_under_way_ends),
    ("messages_of_two_handlers_come_whole", messages::of_two_handlers_come_whole),
    ("no_handler_is_503_at_once", workers::none),
    ("a_worker_that_hangs_costs_only_what_it_has", workers::one_hangs),
    ("workers_come_and_go_under_load", workers::come_and_go),
    // With a client library that is not ours.
    ("the_rules_of_websockets_are_kept", websocket::rules_are_kept),
];

const EXAMPLES: [(&str, RunExample); 10] = [
    ("the_example_dump", examples::dump),
    ("the_example_chat_in_rust", examples::chat_in_rust),
    ("the_example_chat_in_python", examples::chat_in_python),
    ("the_example_longpoll", examples::longpoll),
    ("the_example_audio", examples::audio),
    ("the_example_upload_in_rust", examples::upload_in_rust),
    ("the_example_upload_in_python", examples::upload_in_python),
    ("two_windows_of_a_browser_chat_and_one_is_closed", browser::two_windows_chat),
    ("a_browser_uploads_to_the_example_in_rust", browser::upload_in_rust),
    ("a_browser_uploads_to_the_example_in_python", browser::upload_in_python),
];

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let mut trials = Vec::new();
    let mut add = |name: String, run: Box<dyn FnOnce() + Send>| {
        trials.push(Trial::test(name, move || {
            run();
            Ok(())
        }));
    };
    add("the_configurations_of_the_examples_serve".to_owned(), Box::new(examples::configurations));
    for (kind, server) in [(Kind::Brim, "brim"), (Kind::Mongrel2, "mongrel2")] {
        for (witness, library) in [(Witness::Pyzmq, "pyzmq"), (Witness::Zeromq, "zeromq")] {
            let python = PYTHON.iter().filter(|_| witness == Witness::Pyzmq);
            let brim = BRIM.iter().filter(|_| kind == Kind::Brim);
            for (name, run) in ALL.iter().chain(python).chain(brim) {
                let name = format!("{name}_{server}_{library}");
                add(name, Box::new(move || run(&Setup { kind, witness })));
            }
        }
        for (name, run) in EXAMPLES {
            add(format!("{name}_{server}"), Box::new(move || run(kind)));
        }
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}
