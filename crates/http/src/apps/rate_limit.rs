use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use brim_config::{Count, Reader};
use brim_service::ClientKey;
use brim_stats::{Counter, Stat};
use http::{HeaderValue, StatusCode, header};
use serde::de::{Error as _, Unexpected};
use serde::{Deserialize, Deserializer};

use crate::app::{App, AppContext, Request};
use crate::body::Response;
use crate::chain::Next;
use crate::error::Error;

mod table;

use table::{Limits, Refusal, Table};

/// The tables in use, by section: a reload goes on with what the old configuration has counted.
static TABLES: LazyLock<Mutex<HashMap<String, Weak<Table>>>> = LazyLock::new(Mutex::default);

/// Passes on so many requests per client, and answers the others by 429.
///
/// A client is an address as `trusted_proxies` has it, an IPv6 one with its whole /64 network.
/// Who comes over a Unix socket and has no address is not limited.
pub(crate) struct RateLimit {
    conf: Arc<Conf>,
    passed: Counter,
    limited: Counter,
    unknown: Counter,
}

/// `rate`: requests per time, `10/s`, `600/min`, `1000/h` or `5000/d`, default no limit. `burst`:
/// requests that may come at once after a pause, 1 to 1000000, default the number in `rate`.
/// `concurrent`: requests in progress, 1 to 1000000, default no limit. `clients`: how many are known
/// at a time, 1000 to 10000000, default 100000; beyond them, who is nearest to its full rate again
/// is forgotten.
pub(crate) struct Conf {
    limits: Limits,
    table: Arc<Table>,
}

/// So many in a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rate {
    count: u32,
    time: Duration,
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let rate = || {
            let (count, unit) = text.split_once('/')?;
            let seconds = match unit {
                "s" => 1,
                "min" => 60,
                "h" => 3600,
                "d" => 24 * 3600,
                _ => return None,
            };
            let digits = count.bytes().all(|byte| byte.is_ascii_digit());
            let count =
                count.parse().ok().filter(|count| digits && (1..=1_000_000).contains(count))?;
            Some(Self { count, time: Duration::from_secs(seconds) })
        };
        rate().ok_or_else(|| {
            let expected = "a rate (10/s, 600/min, 1000/h, 5000/d; at most 1000000)";
            D::Error::invalid_value(Unexpected::Str(&text), &expected)
        })
    }
}

impl App for RateLimit {
    type Conf = Conf;

    fn parse_conf(section: &mut Reader<'_>) -> Conf {
        let rate = section.get::<Rate>("rate");
        let burst = section.get::<Count<1, 1_000_000>>("burst").map(|Count(burst)| burst);
        let concurrent = section.get::<Count<1, 1_000_000>>("concurrent");
        let Count(clients) = section.get_or("clients", Count::<1000, 10_000_000>(100_000));
        if rate.is_none() && concurrent.is_none() && !section.failed() {
            section.refuse("rate", "must be set, or else `concurrent`");
        }
        if rate.is_none() && burst.is_some() && !section.failed() {
            section.refuse("burst", "has no meaning without `rate`");
        }
        let limits = Limits {
            interval: rate.map(|rate| rate.time / rate.count),
            burst: burst
                .and_then(|burst| burst.try_into().ok())
                .or(rate.map(|rate| rate.count))
                .unwrap_or(1),
            concurrent: concurrent
                .and_then(|Count(count)| count.try_into().ok())
                .unwrap_or(u32::MAX),
        };
        let clients = usize::try_from(clients).unwrap_or(usize::MAX);
        Conf { limits, table: table_of(section.name(), clients) }
    }

    fn stats_conf(name: &str, _: &Conf) -> Vec<Stat> {
        ["passed", "limited", "uncounted"].map(|what| Stat::sum(format!("{name}.{what}"))).into()
    }

    fn new(name: &str, conf: Arc<Conf>, context: &AppContext) -> Self {
        let counter = |what: &str| context.counter(&format!("{name}.{what}"));
        Self {
            conf,
            passed: counter("passed"),
            limited: counter("limited"),
            unknown: counter("uncounted"),
        }
    }

    async fn call(&self, request: Request, next: Next) -> Result<Response, Error> {
        let exchange = request.exchange();
        let Some(client) = exchange.client() else {
            self.unknown.incr();
            return next.call(request).await;
        };
        let client = ClientKey::from(client);
        match Table::enter(&self.conf.table, client, &self.conf.limits, Instant::now()) {
            Ok(Some(entered)) => exchange.keep(entered),
            Ok(None) if self.conf.limits.counts_concurrent() => self.unknown.incr(),
            Ok(None) => {}
            Err(refusal) => {
                self.limited.incr();
                return Err(too_many(refusal));
            }
        }
        self.passed.incr();
        next.call(request).await
    }
}

fn too_many(refusal: Refusal) -> Error {
    let (text, wait) = match refusal {
        Refusal::Rate(wait) => ("too many requests; see Retry-After", wait),
        Refusal::Concurrent => ("too many requests at the same time", Duration::from_secs(1)),
    };
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    Error::status(StatusCode::TOO_MANY_REQUESTS, format!("429 Too Many Requests: {text}"))
        .with_header(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)))
}

/// The table of a section: the one that is in use if it has the right size.
fn table_of(section: &str, clients: usize) -> Arc<Table> {
    let mut tables = TABLES.lock().unwrap_or_else(PoisonError::into_inner);
    tables.retain(|_, table| table.strong_count() > 0);
    let known = tables.get(section).and_then(Weak::upgrade);
    if let Some(table) = known.filter(|table| table.clients() == clients) {
        return table;
    }
    let table = Arc::new(Table::new(clients));
    tables.insert(section.to_owned(), Arc::downgrade(&table));
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorPages;

    #[test]
    fn a_rate_is_a_number_and_a_unit_of_time() {
        let rate = |text| brim_config::parse_value::<Rate>(text);
        assert_eq!(rate("10/s").unwrap(), Rate { count: 10, time: Duration::from_secs(1) });
        assert_eq!(rate("90/min").unwrap(), Rate { count: 90, time: Duration::from_secs(60) });
        assert!(rate("1000000/d").is_ok());
        for bad in
            ["", "10", "/s", "0/s", "-1/s", "+1/s", "10/m", "10/ s", "1.5/s", "1000001/s", "10/s/s"]
        {
            assert!(rate(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_wait_is_told_in_whole_seconds_that_suffice() {
        for (wait, seconds) in [(0, "1"), (1, "1"), (1000, "1"), (1001, "2"), (59_999, "60")] {
            let refusal = Refusal::Rate(Duration::from_millis(wait));
            let response = too_many(refusal).into_response(&ErrorPages::default());
            assert_eq!(response.status(), 429);
            assert_eq!(response.headers()["retry-after"], seconds, "{wait} ms");
        }
    }

    #[test]
    fn a_table_lives_as_long_as_somebody_uses_it() {
        let first = table_of("a", 1000);
        assert!(Arc::ptr_eq(&first, &table_of("a", 1000)));
        assert!(!Arc::ptr_eq(&first, &table_of("b", 1000)));
        assert!(!Arc::ptr_eq(&first, &table_of("a", 2000)));
    }
}
