//! What every app's section may have beside the app's own keys: which requests it gets, and what a
//! request's body may be like for it.

use std::rc::Rc;
use std::time::Duration;

use brim_config::{HostPattern, Reader, RoutePattern, Size, Timeout};

use crate::app::Request;
use crate::error::Error;

/// Keys of an app's section that are read for it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scope {
    /// `host`: list of names, addresses and `*.NAME`, the hosts that the app is for; default all.
    pub(crate) hosts: Vec<HostPattern>,
    /// `route`: list of routes, the paths that the app is for; default all. Here the longest literal
    /// prefix stands first.
    pub(crate) routes: Vec<RoutePattern>,
    /// `body_limit`: size of a request's body for this app; default that of the server.
    pub(crate) body_limit: Option<u64>,
    /// `body_timeout`: time for a request's body for this app; default that of the server.
    pub(crate) body_timeout: Option<Duration>,
}

impl Scope {
    pub(crate) fn read(section: &mut Reader<'_>) -> Self {
        let mut routes: Vec<RoutePattern> = section.list("route").unwrap_or_default();
        routes.sort_by_key(|route| std::cmp::Reverse(route.prefix().len()));
        Self {
            hosts: section.list("host").unwrap_or_default(),
            routes,
            body_limit: section.get("body_limit").map(|Size(bytes)| bytes),
            body_timeout: section.get("body_timeout").map(|Timeout(time)| time),
        }
    }

    /// Whether the app gets every request that comes so far in the chain.
    pub(crate) fn is_everything(&self) -> bool {
        self.hosts.is_empty() && self.routes.is_empty()
    }
}

/// The route by which a request came to an app.
#[derive(Clone, Debug)]
pub struct Matched(Rc<RoutePattern>);

impl Matched {
    /// The literal prefix of the route: what [`Request::path`] begins with.
    pub fn prefix(&self) -> &str {
        self.0.prefix()
    }

    /// The route as it is configured.
    pub fn pattern(&self) -> &str {
        self.0.as_str()
    }
}

/// A worker's copy of a scope.
#[derive(Debug)]
pub(crate) struct Gate {
    hosts: Vec<HostPattern>,
    routes: Vec<Rc<RoutePattern>>,
    body_limit: Option<u64>,
}

impl Gate {
    /// `None` where there is nothing to decide.
    pub(crate) fn of(scope: &Scope) -> Option<Self> {
        (!scope.is_everything()).then(|| Self {
            hosts: scope.hosts.clone(),
            routes: scope.routes.iter().cloned().map(Rc::new).collect(),
            body_limit: scope.body_limit,
        })
    }

    /// Whether a request is for the app, and by which route.
    ///
    /// # Errors
    ///
    /// It is, but its body is announced to be larger than the app takes.
    pub(crate) fn admits(&self, request: &Request) -> Result<Option<Option<Matched>>, Error> {
        if !self.hosts.is_empty() {
            let Some(host) = request.host() else { return Ok(None) };
            if !self.hosts.iter().any(|pattern| pattern.matches(&host)) {
                return Ok(None);
            }
        }
        let mut matched = None;
        if !self.routes.is_empty() {
            let path = request.path_bytes();
            let route = self.routes.iter().find(|route| route.matches(path));
            let Some(route) = route else { return Ok(None) };
            matched = Some(Matched(route.clone()));
        }
        if let Some(limit) = self.body_limit {
            request.body_within(limit)?;
        }
        Ok(Some(matched))
    }
}
