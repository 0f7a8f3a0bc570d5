//! The apps in the order of `apps =`, and what stands at the end of them.

use std::rc::Rc;
use std::time::Duration;

use http::StatusCode;

use crate::app::Request;
use crate::body::Response;
use crate::error::Error;
use crate::registry::BuiltApp;
use crate::scope::{Gate, Scope};

/// A worker's apps.
pub(crate) struct Chain {
    links: Vec<Link>,
    /// What a request's body may be like for an app that does not say.
    limit: u64,
    /// Whether any of them does say.
    own_bodies: bool,
}

/// An app and the requests that it is for.
pub(crate) struct Link {
    app: Box<dyn BuiltApp>,
    /// `None`: all that come so far.
    gate: Option<Gate>,
    body_limit: Option<u64>,
    body_timeout: Option<Duration>,
}

impl Link {
    pub(crate) fn new(app: Box<dyn BuiltApp>, scope: &Scope) -> Self {
        let Scope { body_limit, body_timeout, .. } = *scope;
        Self { app, gate: Gate::of(scope), body_limit, body_timeout }
    }
}

impl std::fmt::Debug for Chain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Chain({} apps)", self.links.len())
    }
}

impl Chain {
    /// `limit`: the server's own for a request's body.
    pub(crate) fn new(links: Vec<Link>, limit: u64) -> Rc<Self> {
        let own_bodies =
            links.iter().any(|link| link.body_limit.is_some() || link.body_timeout.is_some());
        Rc::new(Self { links, limit, own_bodies })
    }

    /// Gives a request to the first app.
    pub(crate) fn enter(
        chain: &Rc<Self>,
        request: Request,
    ) -> impl Future<Output = Result<Response, Error>> + use<> {
        Next { chain: chain.clone(), position: 0 }.call(request)
    }
}

/// The rest of the chain, from one app's point of view.
#[derive(Debug)]
pub struct Next {
    chain: Rc<Chain>,
    position: usize,
}

impl Next {
    /// Passes a request on: to the next app that it is for, or to the end of the chain.
    pub async fn call(self, mut request: Request) -> Result<Response, Error> {
        let Self { chain, mut position } = self;
        while let Some(link) = chain.links.get(position) {
            position += 1;
            let route = match &link.gate {
                None => None,
                Some(gate) => match gate.admits(&request)? {
                    Some(route) => route,
                    None => continue,
                },
            };
            request.set_route(route);
            if chain.own_bodies {
                request.limit_body(link.body_limit.unwrap_or(chain.limit), link.body_timeout);
            }
            if let Some(answer) = link.app.call_at_once(&request) {
                return answer;
            }
            let next = Self { chain: chain.clone(), position };
            return link.app.call(request, next).await;
        }
        Ok(request.exchange().answer(end()))
    }
}

/// Nobody answered.
fn end() -> Error {
    Error::status(StatusCode::NOT_FOUND, "404 Not Found")
}
