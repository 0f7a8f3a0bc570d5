//! An app of one's own, whole: it greets whoever sends its name, counts, and refuses to start without a
//! greeting.
//!
//! Build it, name it in the configuration, and Brim's units run it:
//!
//! ```ini
//! [udp]
//! port = 8903
//! program = /usr/local/libexec/hello
//! call = hello
//! greeting = Hello
//! ```
#![forbid(unsafe_code)]

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use brim_udp::{App, AppContext, Counter, Datagram, Reader, Registry, RollUp, Stat};

/// What `[udp]` says to the app.
struct Conf {
    greeting: String,
}

/// The app of one worker.
struct HelloWorld {
    conf: Arc<Conf>,
    greetings: Counter,
    last_time: Counter,
}

impl App for HelloWorld {
    type Conf = Conf;

    fn parse_conf(section: &mut Reader<'_>) -> Conf {
        // Without a greeting nothing starts, and the message names the section and its line.
        Conf { greeting: section.require("greeting").unwrap_or_default() }
    }

    fn stats_conf(_: &Conf) -> Vec<Stat> {
        vec![Stat::sum("greetings"), Stat::new("last_time", RollUp::Max)]
    }

    fn new(conf: Arc<Conf>, context: &AppContext) -> Self {
        Self {
            conf,
            greetings: context.counter("greetings"),
            last_time: context.counter("last_time"),
        }
    }

    async fn serve(&self, datagram: Datagram) {
        let name = String::from_utf8_lossy(&datagram.bytes);
        let answer = format!("{} {}!\n", self.conf.greeting, name.trim());
        if datagram.reply(answer.as_bytes()).await.is_ok() {
            self.greetings.incr();
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            self.last_time.set(now.as_secs());
        }
    }
}

fn main() -> ExitCode {
    brim_udp::main(Registry::builtin().with::<HelloWorld>("hello"))
}
