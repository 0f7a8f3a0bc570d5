use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use brim_config::Reader;
use brim_stats::{Counter, Stat};
use futures_util::FutureExt;
use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::app::{App, AppContext, Claims, Request};
use crate::body::Response;
use crate::chain::Next;
use crate::error::Error;

/// Headers that say how a message is framed or a connection used: Brim's own to write.
const OURS: [HeaderName; 9] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::TE,
    header::TRAILER,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::EXPECT,
];

/// Changes the headers of the responses of the apps that follow it, their errors' too, and those
/// of the requests that they get.
pub(crate) struct Headers {
    conf: Arc<Conf>,
    changed: Counter,
}

/// Of responses, all default empty: `remove` (list of names). `set` (lines `Name: value`): in the
/// place of those that are there. `default` (lines): where there is none of that name. `add` (lines):
/// beside those that are there. Of requests, the same: `request_remove` (list of names),
/// `request_set` (lines).
pub(crate) struct Conf {
    response: Change,
    request: Change,
}

/// What is done to headers, in this order.
#[derive(Default)]
struct Change {
    remove: Vec<HeaderName>,
    set: Vec<(HeaderName, HeaderValue)>,
    default: Vec<(HeaderName, HeaderValue)>,
    add: Vec<(HeaderName, HeaderValue)>,
}

impl Change {
    fn apply(&self, headers: &mut HeaderMap) {
        for name in &self.remove {
            headers.remove(name);
        }
        for (name, value) in &self.set {
            headers.insert(name, value.clone());
        }
        for (name, value) in &self.default {
            headers.entry(name).or_insert_with(|| value.clone());
        }
        for (name, value) in &self.add {
            headers.append(name, value.clone());
        }
    }
}

impl App for Headers {
    type Conf = Conf;

    fn parse_conf(section: &mut Reader<'_>) -> Conf {
        let response = Change {
            remove: names(section, "remove"),
            set: once(section, "set"),
            default: once(section, "default"),
            add: fields(section, "add"),
        };
        let request = Change {
            remove: names(section, "request_remove"),
            set: once(section, "request_set"),
            ..Change::default()
        };
        let touches = |name: &HeaderName| {
            let set = request.set.iter().map(|(name, _)| name);
            set.chain(&request.remove).any(|other| other == name)
        };
        if touches(&header::HOST) {
            section.refuse("request_set", "Host is the client's, and decides who answers");
        }
        if response.remove.contains(&header::DATE) {
            section.refuse("remove", "a server with a clock sends Date (RFC 9110 section 6.6.1)");
        }
        Conf { response, request }
    }

    fn claims(_: &Conf) -> Claims {
        Claims::Nothing
    }

    fn stats_conf(name: &str, _: &Conf) -> Vec<Stat> {
        vec![Stat::sum(format!("{name}.responses"))]
    }

    fn new(name: &str, conf: Arc<Conf>, context: &AppContext) -> Self {
        Self { conf, changed: context.counter(&format!("{name}.responses")) }
    }

    async fn call(&self, mut request: Request, next: Next) -> Result<Response, Error> {
        self.conf.request.apply(request.headers_mut());
        let exchange = request.shared_exchange();
        // A panic's answer gets its headers, too.
        let answer = AssertUnwindSafe(next.call(request)).catch_unwind().await;
        let answer = answer.unwrap_or(Err(Error::Panic));
        let mut response = answer.unwrap_or_else(|error| exchange.answer(error));
        self.conf.response.apply(response.headers_mut());
        self.changed.incr();
        Ok(response)
    }
}

fn names(section: &mut Reader<'_>, key: &'static str) -> Vec<HeaderName> {
    let names = section.list::<String>(key).unwrap_or_default();
    names.iter().filter_map(|text| told(section, key, name(text))).collect()
}

/// Lines of which each has a name of its own.
fn once(section: &mut Reader<'_>, key: &'static str) -> Vec<(HeaderName, HeaderValue)> {
    let fields = fields(section, key);
    for (index, (name, _)) in fields.iter().enumerate() {
        if fields.iter().take(index).any(|(earlier, _)| earlier == name) {
            section.refuse(key, format!("\"{name}\" stands here twice; `add` makes several"));
        }
    }
    fields
}

fn fields(section: &mut Reader<'_>, key: &'static str) -> Vec<(HeaderName, HeaderValue)> {
    let lines = section.lines(key);
    lines.into_iter().filter_map(|line| told(section, key, field(line))).collect()
}

fn told<T>(section: &mut Reader<'_>, key: &str, read: Result<T, String>) -> Option<T> {
    read.map_err(|why| section.refuse(key, why)).ok()
}

fn field(line: &str) -> Result<(HeaderName, HeaderValue), String> {
    let (text, value) =
        line.split_once(':').ok_or_else(|| format!("{line:?} is not of the form `Name: value`"))?;
    let name = name(text)?;
    let value = HeaderValue::from_str(value.trim())
        .map_err(|_| format!("the value of \"{name}\" holds a control character"))?;
    Ok((name, value))
}

fn name(text: &str) -> Result<HeaderName, String> {
    let name = HeaderName::try_from(text).map_err(|_| {
        format!("{text:?} is not a header's name: letters, digits and - are accepted")
    })?;
    match OURS.contains(&name) {
        true => Err(format!("\"{name}\" belongs to the connection, and Brim itself writes it")),
        false => Ok(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_name_and_a_value() {
        let (name, value) = field("X-Frame-Options:  DENY ").unwrap();
        assert_eq!((name.as_str(), value.to_str().unwrap()), ("x-frame-options", "DENY"));
        assert_eq!(field("X-Empty:").unwrap().1, "");
        assert_eq!(field("Link: <a:b>").unwrap().1, "<a:b>");
        for bad in ["X", ": x", "X Y: z", "X\u{e4}: y", "X: \u{1}", "Content-Length: 1", "te: x"] {
            assert!(field(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn removing_comes_first_and_adding_last() {
        let pair = |line| field(line).unwrap();
        let change = Change {
            remove: vec![name("a").unwrap()],
            set: vec![pair("B: 2")],
            default: vec![pair("B: 3"), pair("C: 4")],
            add: vec![pair("A: 1"), pair("B: 5")],
        };
        let mut headers = HeaderMap::new();
        for line in ["A: x", "A: y", "B: z", "D: w"] {
            let (name, value) = pair(line);
            headers.append(name, value);
        }
        change.apply(&mut headers);
        let mut shown: Vec<_> = headers
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect();
        shown.sort();
        assert_eq!(shown, ["a: 1", "b: 2", "b: 5", "c: 4", "d: w"]);
    }
}
