use std::collections::BTreeMap;
use std::fmt;

use brim_config::Reader;

/// Apps by the names that a section's `call` may have.
#[derive(Clone)]
pub struct Apps<T> {
    by_name: BTreeMap<&'static str, T>,
}

impl<T> Default for Apps<T> {
    fn default() -> Self {
        Self { by_name: BTreeMap::new() }
    }
}

impl<T> fmt::Debug for Apps<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.by_name.keys()).finish()
    }
}

impl<T: Copy> Apps<T> {
    /// Adds an app, or puts it in the place of the one that has this name.
    pub fn insert(&mut self, name: &'static str, app: T) {
        self.by_name.insert(name, app);
    }

    /// The app of this name.
    pub fn get(&self, name: &str) -> Option<T> {
        self.by_name.get(name).copied()
    }

    /// All names, for messages.
    pub fn names(&self) -> String {
        self.by_name.keys().copied().collect::<Vec<_>>().join(", ")
    }

    /// The app of a section with this `call`. Where there is none, the section is refused.
    pub fn called(&self, call: Option<&str>, reader: &mut Reader<'_>) -> Option<T> {
        let app = call.and_then(|call| self.get(call));
        if app.is_none() {
            let why = call.map_or("must be set".to_owned(), |call| format!("no app \"{call}\""));
            reader.refuse("call", format!("{why}, expected one of {}", self.names()));
            // What another app would have asked for is not known.
            reader.leave_rest();
        }
        app
    }
}
