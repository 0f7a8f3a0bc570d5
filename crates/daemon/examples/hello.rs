//! A daemon of one's own, whole: it greets now and then, counts, and refuses to start without knowing whom.
//!
//! Build it, name it in the configuration, and Brim's units run it:
//!
//! ```ini
//! [daemons]
//! program = /usr/local/libexec/hello-daemon
//! daemons = hello
//!
//! [hello]
//! call = hello
//! whom = World
//! ```
#![forbid(unsafe_code)]

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use brim_daemon::{Counter, Daemon, DaemonContext, Failure, Reader, Registry, Stat};

/// What `[hello]` says.
struct Conf {
    whom: String,
    /// Seconds.
    pause: u64,
}

struct HelloWorld {
    conf: Arc<Conf>,
    greetings: Counter,
}

impl Daemon for HelloWorld {
    type Conf = Conf;

    fn parse_conf(section: &mut Reader<'_>) -> Conf {
        // Without somebody to greet nothing starts, and the message names the section and its line.
        let whom = section.require("whom").unwrap_or_default();
        Conf { whom, pause: section.get_or("pause", 10) }
    }

    fn stats_conf(_: &str, _: &Conf) -> Vec<Stat> {
        vec![Stat::sum("greetings")]
    }

    fn new(_: &str, conf: Arc<Conf>, context: &DaemonContext) -> Self {
        Self { conf, greetings: context.counter("greetings") }
    }

    async fn call(&self) -> Result<(), Failure> {
        loop {
            println!("Hello {}!", self.conf.whom);
            self.greetings.incr();
            tokio::time::sleep(Duration::from_secs(self.conf.pause)).await;
        }
    }
}

fn main() -> ExitCode {
    brim_daemon::main(Registry::builtin().with::<HelloWorld>("hello"))
}
