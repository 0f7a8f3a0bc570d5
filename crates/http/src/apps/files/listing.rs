//! The page that shows what a directory holds.

use std::ffi::CStr;
use std::fmt::Write as _;
use std::fs::File;

use http::{HeaderValue, header};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use rustix::fs::{AtFlags, Dir, FileType, statat};
use rustix::io::Errno;

use super::root::{May, Root, Version};
use crate::body::{Response, ResponseBody};

/// What of a name a link shows as it is (RFC 3986 2.3).
const LINK: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Nothing but this page's own style may be loaded by it, whatever a file is called.
const POLICY: HeaderValue =
    HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'");

const STYLE: &str = "\
:root{color-scheme:light dark}\
body{font:1rem/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}\
h1{font-size:1.25rem;font-weight:600;overflow-wrap:anywhere}\
table{width:100%;border-collapse:collapse}\
th{text-align:left;font-weight:600;font-size:.875rem;opacity:.7}\
th,td{padding:.3rem .5rem;border-bottom:1px solid color-mix(in srgb,currentColor 15%,transparent)}\
td.name{overflow-wrap:anywhere}\
.size,.date{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}\
tbody tr:hover{background:color-mix(in srgb,currentColor 6%,transparent)}\
a{text-decoration:none}a:hover{text-decoration:underline}\
.dir a{font-weight:600}\
p{opacity:.7;font-size:.875rem}\
@media(max-width:32rem){.date{display:none}}";

/// Something in a directory. Directories sort before files.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Item {
    is_file: bool,
    name: Vec<u8>,
    length: u64,
    /// Seconds since 1970.
    modified: i64,
}

/// What a directory holds, sorted; at most so many of them, and whether there are more.
#[derive(Debug)]
pub(super) struct Listing {
    items: Vec<Item>,
    cut: bool,
}

impl Listing {
    /// Reads a directory. Blocks. What is not served is left out: hidden names without `hidden`, what is neither
    /// file nor directory, links that lead out of the root.
    pub(super) fn read(
        root: &Root,
        path: &[u8],
        hidden: bool,
        limit: usize,
    ) -> Result<Option<Self>, Errno> {
        let opened = root.open_beneath(path, May::Wait)?;
        if !opened.directory {
            return Ok(None);
        }
        let mut listing = Self { items: Vec::new(), cut: false };
        for entry in Dir::read_from(&opened.file)? {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if matches!(name, b"." | b"..") || (!hidden && name.starts_with(b".")) {
                continue;
            }
            // What has gone meanwhile is not there either.
            let Some(item) = Item::of(root, path, &opened.file, entry.file_name()) else {
                continue;
            };
            if listing.items.len() == limit {
                listing.cut = true;
                break;
            }
            listing.items.push(item);
        }
        listing.items.sort();
        Ok(Some(listing))
    }

    /// The page. `path`: what the directory is called; `top`: whether there is none above it.
    pub(super) fn page(&self, path: &str, top: bool) -> Response {
        let mut page = String::with_capacity(2048 + 200 * self.items.len());
        let title = escape(path);
        // Writing to a String cannot fail.
        let _ = write!(
            page,
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n\
             <title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<h1>{title}</h1>\n\
             <table>\n<thead><tr><th>Name</th><th class=\"size\">Size</th>\
             <th class=\"date\">Changed (UTC)</th></tr></thead>\n<tbody>\n"
        );
        if !top {
            page.push_str("<tr class=\"dir\"><td class=\"name\"><a href=\"../\">../</a></td><td></td><td class=\"date\"></td></tr>\n");
        }
        for item in &self.items {
            item.write(&mut page);
        }
        page.push_str("</tbody>\n</table>\n");
        let _ = match (self.cut, self.items.len()) {
            (true, shown) => {
                writeln!(page, "<p>Only {shown} entries are shown; there are more.</p>")
            }
            (false, 0) => writeln!(page, "<p>There is nothing here.</p>"),
            (false, _) => Ok(()),
        };
        page.push_str("</body>\n</html>\n");
        let mut response = Response::new(ResponseBody::from(page));
        let headers = response.headers_mut();
        let html = HeaderValue::from_static("text/html; charset=utf-8");
        headers.insert(header::CONTENT_TYPE, html);
        headers.insert(header::CONTENT_SECURITY_POLICY, POLICY);
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        response
    }
}

impl Item {
    fn of(root: &Root, path: &[u8], directory: &File, name: &CStr) -> Option<Self> {
        let stat = statat(directory, name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
        let name = name.to_bytes();
        let (is_directory, version) = match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => (true, Version::of(&stat)),
            FileType::RegularFile => (false, Version::of(&stat)),
            FileType::Symlink => {
                let opened = root.open_beneath(&[path, name].concat(), May::Wait).ok()?;
                (opened.directory, opened.version)
            }
            _ => return None,
        };
        Some(Self {
            is_file: !is_directory,
            name: name.to_vec(),
            length: version.length,
            modified: version.modified.0,
        })
    }

    fn write(&self, page: &mut String) {
        let link = percent_encode(&self.name, LINK);
        let name = escape(&String::from_utf8_lossy(&self.name));
        let date = jiff::Timestamp::from_second(self.modified)
            .map(|time| time.strftime("%Y-%m-%d %H:%M").to_string())
            .unwrap_or_default();
        let (class, slash, size) = match self.is_file {
            true => ("file", "", size(self.length)),
            false => ("dir", "/", String::new()),
        };
        // A name is a segment, and begins with none that could be a scheme.
        let _ = writeln!(
            page,
            "<tr class=\"{class}\"><td class=\"name\"><a href=\"./{link}{slash}\">{name}{slash}</a></td>\
             <td class=\"size\">{size}</td><td class=\"date\">{date}</td></tr>"
        );
    }
}

/// `1.5 KiB`: three digits at most, and what they count.
fn size(bytes: u64) -> String {
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut tenths = u128::from(bytes) * 10;
    for unit in ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"] {
        tenths = (tenths + 512) / 1024;
        if tenths < 10240 || unit == "EiB" {
            return match tenths {
                ..100 => format!("{}.{} {unit}", tenths / 10, tenths % 10),
                _ => format!("{} {unit}", (tenths + 5) / 10),
            };
        }
    }
    String::new()
}

/// Makes text of what HTML would take for markup, and nothing of what could turn the line around.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => escaped.push('\u{fffd}'),
            letter if letter.is_control() => escaped.push('\u{fffd}'),
            letter => escaped.push(letter),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_short() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1536, "1.5 KiB"),
            (10 * 1024, "10 KiB"),
            (1 << 20, "1.0 MiB"),
            (5 << 30, "5.0 GiB"),
            (u64::MAX, "16 EiB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }

    #[test]
    fn markup_in_names_is_text() {
        assert_eq!(
            escape("<a href='x'>&\"\n\u{202e}"),
            "&lt;a href=&#39;x&#39;&gt;&amp;&quot;\u{fffd}\u{fffd}"
        );
    }
}
