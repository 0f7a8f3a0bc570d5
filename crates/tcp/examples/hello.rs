//! An app of one's own, whole: it greets each client by its name, counts, and refuses to start without a
//! greeting.
//!
//! Build it, name it in the configuration, and Brim's units run it:
//!
//! ```ini
//! [tcp]
//! port = 8902
//! program = /usr/local/libexec/hello
//! call = hello
//! greeting = Hello
//! ```
#![forbid(unsafe_code)]

use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use brim_tcp::{App, AppContext, Connection, Counter, Reader, Registry, RollUp, Stat};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// The longest name, in bytes.
const LONGEST: usize = 100;

/// What `[tcp]` says to the app.
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

    async fn serve(&self, connection: &mut Connection) -> io::Result<()> {
        connection.write_all(b"Who are you?\n").await?;
        let mut name = Vec::new();
        let mut byte = [0];
        while name.len() < LONGEST && connection.read(&mut byte).await? > 0 && byte != *b"\n" {
            name.extend(byte);
        }
        let name = String::from_utf8_lossy(&name);
        let answer = format!("{} {}!\n", self.conf.greeting, name.trim());
        connection.write_all(answer.as_bytes()).await?;
        self.greetings.incr();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_err(io::Error::other)?;
        self.last_time.set(now.as_secs());
        Ok(())
    }
}

fn main() -> ExitCode {
    brim_tcp::main(Registry::builtin().with::<HelloWorld>("hello"))
}
