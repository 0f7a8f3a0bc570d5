use std::rc::Rc;
use std::time::Duration;

use brim_config::RoutePattern;

use crate::apps::handler::Handler;

/// Where a worker's socket messages go.
pub(crate) struct Messages {
    /// The longest prefix first.
    routes: Vec<(RoutePattern, Rc<Handler>)>,
}

impl std::fmt::Debug for Messages {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.routes.iter().map(|(route, _)| route.as_str())).finish()
    }
}

impl Messages {
    /// `None` where no route is for messages.
    pub(crate) fn new(
        handlers: impl Iterator<Item = (Vec<RoutePattern>, Rc<Handler>)>,
    ) -> Option<Self> {
        let routes = handlers.flat_map(|(routes, handler)| {
            let of_messages = routes.into_iter().filter(RoutePattern::is_of_messages);
            of_messages.map(move |route| (route, handler.clone()))
        });
        let mut routes: Vec<_> = routes.collect();
        // A stable sort: of the same prefix, the handler counts that stands first in `apps`.
        routes.sort_by_key(|(route, _)| std::cmp::Reverse(route.prefix().len()));
        (!routes.is_empty()).then_some(Self { routes })
    }

    /// Which route a path has.
    pub(super) fn route(&self, path: &[u8]) -> Option<usize> {
        self.routes.iter().position(|(route, _)| route.matches(path))
    }

    pub(super) fn longest_message(&self) -> usize {
        let limits = self.routes.iter().map(|(_, one)| one.conf.socket_max_message);
        limits.max().unwrap_or_default()
    }

    pub(super) fn silence(&self) -> Duration {
        let times = self.routes.iter().map(|(_, one)| one.conf.silence);
        times.max().unwrap_or_default()
    }

    /// A route, and the handler behind it.
    pub(super) fn get(&self, route: usize) -> Option<&(RoutePattern, Rc<Handler>)> {
        self.routes.get(route)
    }
}
