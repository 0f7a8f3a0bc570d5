use std::fs::File;
use std::sync::Arc;
use std::time::SystemTime;

use http::{HeaderMap, HeaderValue, header};

use super::codings::Coding;
use super::conditions::Validators;
use super::conf::Conf;
use super::root::{Opened, Version};
use crate::body::{FileRange, Part};

/// A file that can be sent: as it is, and as it lies beside it in compressed forms.
#[derive(Debug)]
pub(super) struct Resource {
    /// As it is first.
    forms: Vec<Form>,
}

/// One form of a file (RFC 9110 calls it a representation).
#[derive(Debug)]
pub(super) struct Form {
    pub(super) coding: Coding,
    pub(super) version: Version,
    /// The headers of a 200.
    pub(super) headers: HeaderMap,
    pub(super) last_modified: Option<SystemTime>,
    file: Arc<File>,
}

impl Resource {
    /// `name`: the file's, which says what type it is of. `forms`: what was opened.
    pub(super) fn new(conf: &Conf, name: &[u8], forms: Vec<(Coding, Opened)>) -> Self {
        let media_type = conf.media.of(name);
        let varies = forms.len() > 1;
        let forms = forms.into_iter().map(|(coding, opened)| {
            let mut form = Form::new(coding, opened, &media_type);
            let headers = &mut form.headers;
            if let Some(cache_control) = &conf.cache_control {
                headers.insert(header::CACHE_CONTROL, cache_control.clone());
            }
            if varies {
                headers.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
            }
            form
        });
        Self { forms: forms.collect() }
    }

    pub(super) fn form(&self, coding: Coding) -> Option<&Form> {
        self.forms.iter().find(|form| form.coding == coding)
    }

    pub(super) fn forms(&self) -> &[Form] {
        &self.forms
    }
}

impl Form {
    fn new(coding: Coding, opened: Opened, media_type: &HeaderValue) -> Self {
        let last_modified = opened.version.last_modified(SystemTime::now());
        let mut headers = HeaderMap::with_capacity(8);
        headers.insert(header::CONTENT_TYPE, media_type.clone());
        if coding != Coding::Identity {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding.name()));
        }
        headers.insert(header::ETAG, etag(&opened.version, coding));
        if let Some(last_modified) = last_modified {
            let date = HeaderValue::try_from(httpdate::fmt_http_date(last_modified));
            // A date has nothing in it that a header may not have.
            headers.extend(date.ok().map(|date| (header::LAST_MODIFIED, date)));
        }
        headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        let file = Arc::new(opened.file);
        Self { coding, version: opened.version, headers, last_modified, file }
    }

    pub(super) fn length(&self) -> u64 {
        self.version.length
    }

    pub(super) fn validators(&self) -> Validators<'_> {
        let etag = self.headers.get(header::ETAG).map_or(&[][..], HeaderValue::as_bytes);
        Validators { etag, last_modified: self.last_modified }
    }

    /// A part of the content.
    pub(super) fn part(&self, offset: u64, length: u64) -> Part {
        Part::File(FileRange::new(self.file.clone(), offset, length))
    }
}

/// Strong: no two states of a file have the same time and length, nor have two forms. The inode is left out, so
/// that several machines with the same files agree.
fn etag(version: &Version, coding: Coding) -> HeaderValue {
    let (seconds, nanoseconds) = version.modified;
    let suffix = coding.suffix().replace('.', "-");
    let etag = format!("\"{seconds:x}.{nanoseconds:x}-{:x}{suffix}\"", version.length);
    HeaderValue::try_from(etag).unwrap_or_else(|_| HeaderValue::from_static("\"\""))
}
