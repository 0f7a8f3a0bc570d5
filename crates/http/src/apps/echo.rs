use std::sync::Arc;

use brim_config::{Reader, Size};
use brim_stats::{Counter, Stat};

use crate::app::{App, AppContext, Claims, Request};
use crate::body::Response;
use crate::chain::Next;
use crate::error::Error;

/// Answers a request for its path with the request's body.
pub(crate) struct Echo {
    conf: Arc<Conf>,
    requests: Counter,
}

/// `path` (default `/echo`): the one path that is answered. `max_echo` (size, default 64K): how
/// much of a body comes back; what is beyond is not read.
pub(crate) struct Conf {
    path: String,
    max_echo: usize,
}

impl App for Echo {
    type Conf = Conf;

    fn parse_conf(section: &mut Reader<'_>) -> Conf {
        let Size(max_echo) = section.get_or("max_echo", Size(65536));
        Conf {
            path: section.get_or("path", "/echo".to_owned()),
            max_echo: usize::try_from(max_echo).unwrap_or(usize::MAX),
        }
    }

    fn claims(conf: &Conf) -> Claims {
        Claims::Path(conf.path.clone())
    }

    fn stats_conf(name: &str, _: &Conf) -> Vec<Stat> {
        vec![Stat::sum(format!("{name}.requests"))]
    }

    fn new(name: &str, conf: Arc<Conf>, context: &AppContext) -> Self {
        Self { conf, requests: context.counter(&format!("{name}.requests")) }
    }

    async fn call(&self, mut request: Request, next: Next) -> Result<Response, Error> {
        if request.path() != self.conf.path.as_str() {
            return next.call(request).await;
        }
        self.requests.incr();
        let body = request.body().read_up_to(self.conf.max_echo).await?;
        Ok(Response::new(body.into()))
    }
}
