use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use brim_config::{AbsolutePath, Count, Reader, Size, Span};
use http::HeaderValue;
use serde::de::{Error as _, Unexpected};
use serde::{Deserialize, Deserializer};

use super::cache::Limits;
use super::media::MediaTypes;
use super::root::{May, Root};

/// Directories that the packaged unit hides from its servers.
const HIDDEN_BY_THE_UNIT: [&str; 5] = ["/home", "/root", "/run/user", "/tmp", "/var/tmp"];

/// What the section says.
#[derive(Debug)]
pub(crate) struct Conf {
    /// Where the root is.
    pub(super) path: PathBuf,
    /// `root` (absolute path, required): the directory with the files. `serve_path` (absolute path): its older name.
    pub(super) root: Option<Arc<Root>>,
    /// `path` (default `/`): what the paths of requests begin with, here without a slash at its end.
    pub(super) prefix: String,
    /// `index` (list of names, default `index.html`): the file that is sent for a directory, the first that
    /// is there.
    pub(super) index: Vec<FileName>,
    /// `listing` (yes or no, default no): whether a directory without an index is shown as a page. `listing_limit`
    /// (1 to 100000, default 1000): how many entries such a page has. `None` is no.
    pub(super) listing: Option<usize>,
    /// `fallback` (path below `root`, default unset): the file that is sent where there is none.
    pub(super) fallback: Option<FilePath>,
    /// `missing` (`404` or `pass`, default `404`): what becomes of requests for files that are not there.
    pub(super) missing: Missing,
    /// `hidden` (yes or no, default no): whether names with a dot in front are served.
    pub(super) hidden: bool,
    /// `precompressed` (yes or no, default no): whether `NAME.br`, `NAME.zst` and `NAME.gz` are sent for `NAME` to
    /// clients that want them.
    pub(super) precompressed: bool,
    /// `cache_control` (text, default unset): the Cache-Control of every file.
    pub(super) cache_control: Option<HeaderValue>,
    /// `range_limit` (0 to 1000, default 16): ranges in one request, beyond it the whole file is sent.
    pub(super) range_limit: usize,
    /// `default_type` (media type, default `application/octet-stream`): for names that say nothing.
    /// `charset` (name or `none`, default `utf-8`): what text is in, where the type itself does not
    /// say so. The section `[mimetypes]` has a type for each extension beyond the built-in ones.
    pub(super) media: MediaTypes,
    /// `cache_size` (size, default 16M): what a worker keeps of files in memory, 0 is nothing. `cache_files` (0
    /// to 100000, default 1000): how many files it keeps, open or in memory.
    pub(super) cache: Limits,
    /// `cache_file_limit` (size, default 64K): larger files are kept open instead of in memory.
    pub(super) cache_file_limit: u64,
    /// `cache_time` (time, default 1s): how long what is kept is not compared with the disk.
    pub(super) cache_time: Duration,
}

/// What becomes of requests for files that are not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(super) enum Missing {
    /// They are answered by 404.
    #[serde(rename = "404")]
    NotFound,
    /// The apps behind this one get them.
    #[serde(rename = "pass")]
    Pass,
}

/// A name without slashes.
#[derive(Clone, Debug)]
pub(super) struct FileName(pub(super) String);

/// A path below the root, without slashes at its ends.
#[derive(Clone, Debug)]
pub(super) struct FilePath(pub(super) String);

/// A path that begins with a slash; without those at its end.
#[derive(Debug)]
struct Prefix(String);

struct Text(HeaderValue);

impl Conf {
    pub(super) fn read(section: &mut Reader<'_>) -> Self {
        let older = section.get("serve_path").map(|AbsolutePath(path)| path);
        let path = match older {
            Some(older) => section.get("root").map(|AbsolutePath(path)| path).or(Some(older)),
            None => section.require("root").map(|AbsolutePath(path)| path),
        };
        let path = path.unwrap_or_default();
        let listing = section.get_or("listing", false);
        let listing_limit = count::<1, 100_000>(section, "listing_limit", 1000);
        let root = (!path.as_os_str().is_empty()).then(|| open(section, &path)).flatten();
        Self {
            root: root.map(Arc::new),
            path,
            prefix: section.get_or("path", Prefix(String::new())).0,
            index: section.list("index").unwrap_or_else(|| vec![FileName("index.html".to_owned())]),
            listing: listing.then_some(listing_limit),
            fallback: section.get("fallback"),
            missing: section.get_or("missing", Missing::NotFound),
            hidden: section.get_or("hidden", false),
            precompressed: section.get_or("precompressed", false),
            cache_control: section.get("cache_control").map(|Text(value)| value),
            range_limit: count::<0, 1000>(section, "range_limit", 16),
            media: MediaTypes::read(section),
            cache: Limits {
                bytes: section.get_or("cache_size", Size(16 << 20)).0,
                files: count::<0, 100_000>(section, "cache_files", 1000),
            },
            cache_file_limit: section.get_or("cache_file_limit", Size(64 << 10)).0,
            cache_time: section.get_or("cache_time", Span(Duration::from_secs(1))).0,
        }
    }
}

fn count<const MIN: u64, const MAX: u64>(
    section: &mut Reader<'_>,
    key: &'static str,
    default: u64,
) -> usize {
    let Count(count) = section.get_or(key, Count::<MIN, MAX>(default));
    usize::try_from(count).unwrap_or(usize::MAX)
}

fn open(section: &mut Reader<'_>, path: &Path) -> Option<Root> {
    let opened = Root::open(path, May::Wait).and_then(|root| {
        // Tells at once where the kernel cannot keep us below the root.
        root.open_beneath(b"", May::Wait).map(|_| root)
    });
    let error = match opened {
        Ok(root) => return Some(root),
        Err(errno) => std::io::Error::from(errno),
    };
    let hidden = HIDDEN_BY_THE_UNIT.iter().any(|hidden| path.starts_with(hidden));
    let hint = match hidden {
        true => {
            "; the unit hides what lies there (see ProtectHome= and PrivateTmp= in systemd.exec(5))"
        }
        false => "",
    };
    let key =
        if section.origin("root") == section.origin("serve_path") { "serve_path" } else { "root" };
    section.refuse(key, format!("cannot open the directory {}: {error}{hint}", path.display()));
    None
}

impl<'de> Deserialize<'de> for FileName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.contains(['/', '\0']) || matches!(text.as_str(), "." | "..") {
            return Err(D::Error::invalid_value(Unexpected::Str(&text), &"the name of a file"));
        }
        Ok(Self(text))
    }
}

impl<'de> Deserialize<'de> for FilePath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let path = text.trim_start_matches('/');
        let known = |segment: &str| !matches!(segment, "" | "." | "..") && !segment.contains('\0');
        if path.split('/').all(known) {
            return Ok(Self(path.to_owned()));
        }
        let expected = "the path of a file below root (such as /index.html)";
        Err(D::Error::invalid_value(Unexpected::Str(&text), &expected))
    }
}

impl<'de> Deserialize<'de> for Prefix {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.starts_with('/') {
            return Ok(Self(text.trim_end_matches('/').to_owned()));
        }
        let expected = "a path that begins with a slash (such as /static)";
        Err(D::Error::invalid_value(Unexpected::Str(&text), &expected))
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let expected = "the value of a header (such as public, max-age=3600)";
        HeaderValue::from_str(&text)
            .map(Self)
            .map_err(|_| D::Error::invalid_value(Unexpected::Str(&text), &expected))
    }
}
