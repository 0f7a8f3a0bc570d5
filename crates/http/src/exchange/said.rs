use std::rc::Rc;

/// What apps say about an exchange.
#[derive(Debug, Default)]
pub(crate) struct Said {
    pub(crate) remote_user: Option<String>,
    pub(crate) authenticated_user: Option<String>,
    pub(crate) source: Option<String>,
    pub(crate) log_info: Fields,
}

/// Fields that apps add to an access line. One of them, as the proxy adds, takes no memory of its own.
#[derive(Debug, Default)]
pub(crate) struct Fields {
    first: Option<Rc<str>>,
    others: Vec<Rc<str>>,
}

impl Fields {
    pub(crate) fn push(&mut self, field: Rc<str>) {
        match self.first {
            None => self.first = Some(field),
            Some(_) => self.others.push(field),
        }
    }

    /// In the order in which they were added.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &str> {
        self.first.iter().chain(&self.others).map(|field| &**field)
    }
}
