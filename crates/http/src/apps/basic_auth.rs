use std::path::PathBuf;
use std::sync::{Arc, Once};

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use brim_config::{AbsolutePath, Count, Reader, Span};
use brim_service::ClientKey;
use brim_stats::{Counter, Stat};
use http::{HeaderMap, HeaderValue, StatusCode, header};

use crate::app::{App, AppContext, Request};
use crate::body::Response;
use crate::chain::Next;
use crate::error::Error;

mod cache;
mod users;
mod verify;

use users::UserFile;
use verify::{Credentials, Verdict, Verifier};

/// Some clients leave the padding out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Passes on the requests of users that are in a file, and answers the others by 401.
pub(crate) struct BasicAuth {
    conf: Arc<Conf>,
    accepted: Counter,
    rejected: Counter,
    busy: Counter,
}

/// `auth_path` (required): absolute path of the file with a `name hash` per line, read again when it
/// changes. `realm` (default `restricted`): what browsers show when they ask for the password.
/// `cache_time` (time, default 5min): for so long the outcome of a verification counts; 0 verifies
/// each request. `verifiers` (1 to 64, default half of the processors): verifications at once.
pub(crate) struct Conf {
    verifier: Arc<Verifier>,
    challenge: HeaderValue,
    watch: Once,
}

impl App for BasicAuth {
    type Conf = Conf;

    fn parse_conf(section: &mut Reader<'_>) -> Conf {
        let path = section.require::<AbsolutePath>("auth_path").map(|AbsolutePath(path)| path);
        let users = path.map(|path| users(section, path)).unwrap_or_default();
        let realm = section.get_or("realm", "restricted".to_owned());
        let quotable = |c: char| matches!(c, ' '..='~') && !matches!(c, '"' | '\\');
        if realm.len() > 256 || !realm.chars().all(quotable) {
            section.refuse("realm", "expected at most 256 letters of ASCII, without \" and \\");
        }
        let challenge = format!("Basic realm=\"{realm}\", charset=\"UTF-8\"");
        let Span(cache_time) = section.get_or("cache_time", Span(cache::TIME));
        let verifiers = section.get::<Count<1, 64>>("verifiers").map(|Count(count)| count);
        let verifiers = verifiers.and_then(|count| count.try_into().ok());
        let half = || std::thread::available_parallelism().map_or(1, usize::from).div_ceil(2);
        Conf {
            verifier: Verifier::new(users, cache_time, verifiers.unwrap_or_else(half)),
            challenge: HeaderValue::try_from(challenge)
                .unwrap_or_else(|_| HeaderValue::from_static("Basic")),
            watch: Once::new(),
        }
    }

    fn stats_conf(name: &str, _: &Conf) -> Vec<Stat> {
        ["accepted", "rejected", "busy"].map(|what| Stat::sum(format!("{name}.{what}"))).into()
    }

    fn new(name: &str, conf: Arc<Conf>, context: &AppContext) -> Self {
        conf.watch.call_once(|| conf.verifier.watch());
        let counter = |what: &str| context.counter(&format!("{name}.{what}"));
        Self {
            conf,
            accepted: counter("accepted"),
            rejected: counter("rejected"),
            busy: counter("busy"),
        }
    }

    async fn call(&self, mut request: Request, next: Next) -> Result<Response, Error> {
        let Some(credentials) = credentials(request.headers()) else {
            return Err(self.reject(&request, "no credentials of the Basic scheme"));
        };
        let exchange = request.exchange();
        let user = String::from_utf8_lossy(credentials.user()).into_owned();
        exchange.set_remote_user(user.clone());
        let client = exchange.client().map(ClientKey::from);
        match self.conf.verifier.verify(credentials, client).await {
            Verdict::Accepted => {
                self.accepted.incr();
                exchange.set_authenticated_user(user);
                request.headers_mut().remove(header::AUTHORIZATION);
                next.call(request).await
            }
            Verdict::Rejected => Err(self.reject(&request, "no such user, or another password")),
            Verdict::Busy => {
                self.busy.incr();
                let text = "503 Service Unavailable: too many passwords are being verified";
                Err(Error::status(StatusCode::SERVICE_UNAVAILABLE, text)
                    .with_header(header::RETRY_AFTER, HeaderValue::from_static("2")))
            }
        }
    }
}

impl BasicAuth {
    fn reject(&self, request: &Request, why: &'static str) -> Error {
        self.rejected.incr();
        tracing::debug!(txn = request.exchange().txn(), why, "not authenticated");
        Error::status(StatusCode::UNAUTHORIZED, "401 Unauthorized")
            .with_header(header::WWW_AUTHENTICATE, self.conf.challenge.clone())
    }
}

/// Reads the file for the first time, when the configuration is read: then a missing one is an error.
fn users(section: &mut Reader<'_>, path: PathBuf) -> UserFile {
    match UserFile::open(path.clone()) {
        Ok(file) => {
            for complaint in file.complaints() {
                section.warn("auth_path", format!("{}:{complaint}", path.display()));
            }
            file
        }
        Err(error) => {
            section.refuse("auth_path", format!("{}: {error}", path.display()));
            UserFile::default()
        }
    }
}

/// The credentials of a request that has exactly one Authorization of the Basic scheme.
fn credentials(headers: &HeaderMap) -> Option<Credentials> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let value = values.next().filter(|_| values.next().is_none())?;
    let (scheme, token) = value.as_bytes().split_at_checked(6)?;
    if !scheme.eq_ignore_ascii_case(b"basic ") {
        return None;
    }
    Credentials::new(BASE64.decode(token.trim_ascii()).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(value: &str) -> Option<String> {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, value.parse().unwrap());
        let credentials = credentials(&headers)?;
        let password = credentials.password();
        let text =
            [credentials.user(), password].map(|part| String::from_utf8_lossy(part).into_owned());
        Some(text.join(" / "))
    }

    #[test]
    fn the_scheme_may_be_in_any_case_and_the_password_may_have_colons() {
        assert_eq!(of("Basic dXNlcjpwYXNz").as_deref(), Some("user / pass"));
        assert_eq!(of("bASIC  dTphOmI= ").as_deref(), Some("u / a:b"));
        assert_eq!(of("Basic dTphOmI").as_deref(), Some("u / a:b"));
        assert_eq!(of("Basic dTo=").as_deref(), Some("u / "));
    }

    #[test]
    fn anything_else_is_no_attempt() {
        for bad in
            ["", "Basic", "Basic ", "Basic dXNlcg==", "Basic !", "Bearer dTo=", "Basic dTo= dTo="]
        {
            assert_eq!(of(bad), None, "{bad}");
        }
        let mut two = HeaderMap::new();
        two.append(header::AUTHORIZATION, "Basic dTo=".parse().unwrap());
        two.append(header::AUTHORIZATION, "Basic dTo=".parse().unwrap());
        assert!(credentials(&two).is_none());
    }
}
