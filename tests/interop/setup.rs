//! A server and handlers that answer.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::client::{Client, PATIENCE};
use crate::server::{BOTH, Kind, Process, Section, Server, program_beside};

/// By what a handler speaks ZeroMQ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Witness {
    /// libzmq: `handler.py`.
    Pyzmq,
    /// The crate `zeromq`, by our library: `test-handler`.
    Zeromq,
}

/// Who meets whom.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setup {
    pub(crate) kind: Kind,
    pub(crate) witness: Witness,
}

impl Setup {
    /// Calls `try_it` for each section, with a handler that answers there.
    pub(crate) fn each(self, mut try_it: impl FnMut(&Server, &str)) {
        self.with(&BOTH, false, |server, name| try_it(server, name));
    }

    pub(crate) fn with(
        self,
        sections: &[Section],
        stream: bool,
        mut try_it: impl FnMut(&Server, &str),
    ) {
        let server = Server::start(self.kind, sections, stream);
        let handlers =
            sections.iter().map(|section| self.handler(&server, section.name, "one", &[]));
        let handlers: Vec<_> = handlers.collect();
        for section in sections {
            until_answered(&server, section.name);
            try_it(&server, section.name);
        }
        drop(handlers);
    }

    /// A handler of this section.
    pub(crate) fn handler(
        self,
        server: &Server,
        section: &str,
        name: &str,
        arguments: &[&str],
    ) -> Process {
        let (send, recv) = server.specs(section);
        let mut command = match self.witness {
            Witness::Pyzmq => {
                let mut command = Command::new(brim_testing::python_with("zmq"));
                command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/interop/handler.py"));
                command
            }
            Witness::Zeromq => Command::new(program_beside("test-handler")),
        };
        Process::start(command.args([name, send, recv]).args(arguments))
    }
}

/// Waits until a handler of this section answers. A first answer may be lost: whoever publishes does not
/// know yet that somebody listens.
pub(crate) fn until_answered(server: &Server, section: &str) {
    eventually("a handler answers", || {
        let mut client = server.client();
        client.patience(Duration::from_secs(1));
        client.ask(&format!("GET /{section}/echo"), "", b"");
        client.try_answer(true).is_ok_and(|answer| answer.status == 200)
    });
}

/// Waits for what no event tells.
pub(crate) fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The ids of clients that a handler was told of, and of those that wait.
pub(crate) fn heard(client: &mut Client, section: &str) -> (Vec<u64>, Vec<u64>) {
    let heard = client.get(&format!("/{section}/heard")).json();
    let id = |value: &serde_json::Value| value.as_u64().expect("an id");
    let notices = heard["notices"].as_array().expect("notices");
    let gone =
        notices.iter().filter(|notice| notice[1] == "disconnect").map(|notice| id(&notice[0]));
    let waiting = heard["waiting"].as_array().expect("clients").iter().map(id);
    (gone.collect(), waiting.collect())
}

/// Where an example of the handlers lies.
pub(crate) fn example(path: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/handlers")).join(path)
}
