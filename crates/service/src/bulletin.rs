use std::sync::Arc;

use crate::shared::Shared;

/// What a program tells the world of itself beside its figures.
#[derive(Clone, Debug)]
pub struct Bulletin(Arc<Shared>);

impl Bulletin {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self(shared)
    }

    /// The line for `systemctl status`, in place of that which says what is served.
    pub fn say(&self, text: String) {
        let mut face = self.0.face();
        if face.said.as_ref() != Some(&text) {
            face.said = Some(text);
            drop(face);
            self.0.news.notify_one();
        }
    }

    /// What one of the daemons does, in systemd's words: `active`, `failed` and so on.
    pub fn daemon_state(&self, daemon: &str, state: &str) {
        if let Some(known) = self.0.face().daemons.get_mut(daemon) {
            known.clear();
            known.push_str(state);
        }
    }
}
