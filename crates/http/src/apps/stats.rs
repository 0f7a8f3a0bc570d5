use std::sync::Arc;

use brim_config::Reader;
use http::{HeaderValue, Method, StatusCode, header};

use crate::app::{App, AppContext, Claims, Request};
use crate::body::{Response, ResponseBody};
use crate::chain::Next;
use crate::error::Error;

/// Longest name of a JSONP callback, in bytes.
const CALLBACK: usize = 128;

/// Answers requests for its path with the stats of all instances, as Brim's JSON.
pub(crate) struct Stats {
    conf: Arc<Conf>,
    context: AppContext,
}

/// `path` (default `/stats`): the one path that is answered.
pub(crate) struct Conf {
    path: String,
}

impl App for Stats {
    type Conf = Conf;

    fn parse_conf(section: &mut Reader<'_>) -> Conf {
        Conf { path: section.get_or("path", "/stats".to_owned()) }
    }

    fn claims(conf: &Conf) -> Claims {
        Claims::Path(conf.path.clone())
    }

    fn new(_: &str, conf: Arc<Conf>, context: &AppContext) -> Self {
        Self { conf, context: context.clone() }
    }

    async fn call(&self, request: Request, next: Next) -> Result<Response, Error> {
        if request.path() != self.conf.path.as_str() {
            return next.call(request).await;
        }
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut response = Response::new(ResponseBody::Empty);
            *response.status_mut() = StatusCode::NOT_IMPLEMENTED;
            return Ok(response);
        }
        let callback = callback(&request)?;
        let gather = self.context.gather();
        let json = brim_stats::report(gather.start_time(), gather.sections().await);
        let (body, media_type) = match callback {
            Some(callback) => (format!("{callback}({json})"), "application/javascript"),
            None => (json + "\n", "application/json"),
        };
        let mut response = Response::new(ResponseBody::from(body));
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
        Ok(response)
    }
}

/// The JSONP callback: `jsonp`, else `callback`; an empty one means plain JSON. It becomes part of
/// a script, so it may only be a name.
fn callback(request: &Request) -> Result<Option<String>, Error> {
    let callback = request.query_value("jsonp").or_else(|| request.query_value("callback"));
    let Some(callback) = callback.filter(|callback| !callback.is_empty()) else { return Ok(None) };
    let name = |part: &str| {
        let first = |c: char| c.is_ascii_alphabetic() || matches!(c, '_' | '$');
        part.starts_with(first) && part.chars().all(|c| first(c) || c.is_ascii_digit())
    };
    if callback.len() <= CALLBACK && callback.split('.').all(name) {
        Ok(Some(callback))
    } else {
        let text = "the callback must be a JavaScript name of at most 128 letters";
        Err(Error::status(StatusCode::BAD_REQUEST, text))
    }
}
