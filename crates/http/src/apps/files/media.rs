use std::collections::HashMap;

use brim_config::Reader;
use http::HeaderValue;
use serde::de::{Error as _, Unexpected};
use serde::{Deserialize, Deserializer};

/// Which type a file has, by its name.
#[derive(Debug)]
pub(super) struct MediaTypes {
    /// By extension, in lower case and without the dot in front.
    own: HashMap<String, HeaderValue>,
    default: HeaderValue,
    charset: Option<String>,
}

/// A media type such as `text/plain`.
#[derive(Debug)]
struct MediaType(HeaderValue);

/// The name of a character set, or `none`.
#[derive(Debug)]
struct Charset(String);

impl MediaTypes {
    /// Takes what the section says of them.
    pub(super) fn read(section: &mut Reader<'_>) -> Self {
        let charset = section.get_or("charset", Charset("utf-8".to_owned())).0;
        let charset = (charset != "none").then_some(charset);
        let own = section.pairs::<MediaType>("mimetypes").into_iter();
        let own = own.map(|(extension, MediaType(value))| {
            let extension = extension.trim_start_matches('.').to_lowercase();
            (extension, with_charset(value, charset.as_deref()))
        });
        let default = HeaderValue::from_static("application/octet-stream");
        let default = section.get_or("default_type", MediaType(default)).0;
        Self { own: own.collect(), default: with_charset(default, charset.as_deref()), charset }
    }

    /// The type of a file of this name; what has several dots counts by its longest known extension.
    pub(super) fn of(&self, path: &[u8]) -> HeaderValue {
        let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
        let name = String::from_utf8_lossy(name).to_lowercase();
        let mut rest = name.trim_start_matches('.');
        let mut last = None;
        while let Some((_, extension)) = rest.split_once('.') {
            if let Some(own) = self.own.get(extension) {
                return own.clone();
            }
            (rest, last) = (extension, Some(extension));
        }
        let known = last.and_then(|extension| mime_guess::from_ext(extension).first_raw());
        match known {
            Some(known) => with_charset(HeaderValue::from_static(known), self.charset.as_deref()),
            None => self.default.clone(),
        }
    }
}

/// XML says for itself what it is in (RFC 7303 3.2), and so does what has a parameter already.
fn with_charset(media_type: HeaderValue, charset: Option<&str>) -> HeaderValue {
    let Some(charset) = charset else { return media_type };
    let text = media_type.to_str().unwrap_or_default();
    let is_text = (text.starts_with("text/") && text != "text/xml")
        || matches!(text, "application/javascript" | "application/manifest+json");
    match is_text && !text.contains(';') {
        true => HeaderValue::try_from(format!("{text}; charset={charset}")).unwrap_or(media_type),
        false => media_type,
    }
}

impl<'de> Deserialize<'de> for MediaType {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let is_token = |part: &str| {
            let symbol = |byte: u8| b"!#$&-^_.+".contains(&byte);
            !part.is_empty()
                && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || symbol(byte))
        };
        let essence = text.split(';').next().unwrap_or_default().trim_end();
        let well_formed =
            essence.split_once('/').is_some_and(|(of, kind)| is_token(of) && is_token(kind));
        match HeaderValue::from_str(&text) {
            Ok(value) if well_formed => Ok(Self(value)),
            _ => Err(D::Error::invalid_value(
                Unexpected::Str(&text),
                &"a media type (such as text/plain)",
            )),
        }
    }
}

impl<'de> Deserialize<'de> for Charset {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let known = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:+".contains(&byte);
        if text.bytes().all(known) {
            return Ok(Self(text));
        }
        let expected = "the name of a character set (such as utf-8), or `none`";
        Err(D::Error::invalid_value(Unexpected::Str(&text), &expected))
    }
}
