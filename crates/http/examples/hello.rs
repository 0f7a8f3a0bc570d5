//! An app of one's own, whole: it greets on one path, counts, and refuses to start without one.
//!
//! Build it, name it in the configuration, and Brim's units run it:
//!
//! ```ini
//! [wsgi]
//! port = 8901
//! program = /usr/local/libexec/hello
//! apps = hello
//!
//! [hello]
//! call = hello
//! path = /hello
//! ```
#![forbid(unsafe_code)]

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use brim_http::{
    App, AppContext, Counter, Error, Next, Reader, Registry, Request, Response, RollUp, Stat,
};

/// What `[hello]` says.
struct Conf {
    path: String,
}

/// The app of one worker.
struct HelloWorld {
    conf: Arc<Conf>,
    requests: Counter,
    last_time: Counter,
}

impl App for HelloWorld {
    type Conf = Conf;

    fn parse_conf(section: &mut Reader<'_>) -> Conf {
        // Without a path nothing starts, and the message names the section and its line.
        Conf { path: section.require("path").unwrap_or_default() }
    }

    fn stats_conf(name: &str, _: &Conf) -> Vec<Stat> {
        vec![
            Stat::sum(format!("{name}.requests")),
            Stat::new(format!("{name}.last_time"), RollUp::Max),
        ]
    }

    fn new(name: &str, conf: Arc<Conf>, context: &AppContext) -> Self {
        Self {
            conf,
            requests: context.counter(&format!("{name}.requests")),
            last_time: context.counter(&format!("{name}.last_time")),
        }
    }

    async fn call(&self, request: Request, next: Next) -> Result<Response, Error> {
        if request.path() != self.conf.path.as_str() {
            return next.call(request).await;
        }
        self.requests.incr();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_err(Error::internal)?;
        self.last_time.set(now.as_secs());
        Ok(Response::new("Hello World!\n".into()))
    }
}

fn main() -> ExitCode {
    brim_http::main(Registry::builtin().with::<HelloWorld>("hello"))
}
