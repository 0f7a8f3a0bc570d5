use std::fs::File;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};

use super::codings::suffix;
use super::conditions::Validators;
use super::conf::Conf;
use super::root::{Opened, Version};
use crate::accept_encoding::Coding;
use crate::app::blocking;
use crate::body::{FileRange, Part, read, read_cached};
use crate::error::Error;

/// What a form takes beside its content, in bytes: headers above all.
const FORM: u64 = 1024;

/// A file that can be sent: as it is, and as it lies beside it in compressed forms.
#[derive(Debug)]
pub(super) struct Resource {
    /// As it is first.
    forms: Vec<Form>,
}

/// One form of a file (RFC 9110 calls it a representation).
#[derive(Debug)]
pub(super) struct Form {
    /// `None`: as it is.
    pub(super) coding: Option<Coding>,
    pub(super) version: Version,
    /// The headers of a 200.
    pub(super) headers: HeaderMap,
    pub(super) last_modified: Option<SystemTime>,
    content: Content,
}

/// Where the bytes are.
#[derive(Debug)]
enum Content {
    /// In memory.
    Bytes(Bytes),
    /// In the file.
    File(Arc<File>),
}

impl Resource {
    /// `name`: the file's, which says what type it is of. `forms`: what was opened.
    pub(super) fn new(conf: &Conf, name: &[u8], forms: Vec<(Option<Coding>, Opened)>) -> Self {
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

    /// Takes what is not longer than this into memory.
    pub(super) async fn load(&mut self, limit: u64) -> Result<(), Error> {
        for form in &mut self.forms {
            if form.length() <= limit {
                form.load().await?;
            }
        }
        Ok(())
    }

    /// How much memory it takes, about.
    pub(super) fn bytes(&self) -> u64 {
        let held = |form: &Form| match &form.content {
            Content::Bytes(bytes) => FORM + bytes.len() as u64,
            Content::File(_) => FORM,
        };
        self.forms.iter().map(held).sum()
    }

    /// Whether these are the same states of the same files.
    pub(super) fn is_of(&self, forms: &[(Option<Coding>, Opened)]) -> bool {
        let ours = self.forms.iter().map(|form| (form.coding, form.version));
        ours.eq(forms.iter().map(|(coding, opened)| (*coding, opened.version)))
    }

    pub(super) fn form(&self, coding: Option<Coding>) -> Option<&Form> {
        self.forms.iter().find(|form| form.coding == coding)
    }

    pub(super) fn forms(&self) -> &[Form] {
        &self.forms
    }
}

impl Form {
    fn new(coding: Option<Coding>, opened: Opened, media_type: &HeaderValue) -> Self {
        let last_modified = opened.version.last_modified(SystemTime::now());
        let mut headers = HeaderMap::with_capacity(8);
        headers.insert(header::CONTENT_TYPE, media_type.clone());
        if let Some(coding) = coding {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding.token()));
        }
        headers.insert(header::ETAG, etag(&opened.version, coding));
        if let Some(last_modified) = last_modified {
            let date = HeaderValue::try_from(httpdate::fmt_http_date(last_modified));
            // A date has nothing in it that a header may not have.
            headers.extend(date.ok().map(|date| (header::LAST_MODIFIED, date)));
        }
        if opened.version.length == 0 {
            // hyper says so only where there is a body that it leaves out.
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        let content = Content::File(Arc::new(opened.file));
        Self { coding, version: opened.version, headers, last_modified, content }
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
        match &self.content {
            Content::File(file) => Part::File(FileRange::new(file.clone(), offset, length)),
            Content::Bytes(bytes) => {
                let place = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(bytes.len());
                let (start, end) = (place(offset), place(offset.saturating_add(length)));
                Part::Bytes(bytes.slice(start.min(end)..end))
            }
        }
    }

    /// Takes the content into memory, and closes the file.
    async fn load(&mut self) -> Result<(), Error> {
        let Content::File(file) = &self.content else { return Ok(()) };
        let wanted = usize::try_from(self.length()).unwrap_or(usize::MAX);
        let read = match read_cached(file, 0, wanted) {
            Some(Ok(bytes)) if bytes.len() == wanted => Ok(bytes),
            _ => {
                let file = file.clone();
                blocking(move || read(&file, 0, wanted)).await?
            }
        };
        let bytes = read.map_err(Error::internal)?;
        // A file that has changed meanwhile is left to the way for those that do.
        if bytes.len() == wanted {
            self.content = Content::Bytes(bytes);
        }
        Ok(())
    }
}

/// Strong: no two states of a file have the same time and length, nor have two forms. The inode is left out, so
/// that several machines with the same files agree.
fn etag(version: &Version, coding: Option<Coding>) -> HeaderValue {
    let (seconds, nanoseconds) = version.modified;
    let suffix = coding.map(suffix).unwrap_or_default().replace('.', "-");
    let etag = format!("\"{seconds:x}.{nanoseconds:x}-{:x}{suffix}\"", version.length);
    HeaderValue::try_from(etag).unwrap_or_else(|_| HeaderValue::from_static("\"\""))
}
