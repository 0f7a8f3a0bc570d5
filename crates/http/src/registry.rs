use std::any::Any;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;

use brim_config::Reader;
use brim_service::Apps;
use brim_stats::Stat;

use crate::app::{App, AppContext, Claims, Request};
use crate::apps::{
    BasicAuth, Compress, Echo, Files, Handler, HandlerConf, Headers, Proxy, RateLimit, Redirect,
    Stats,
};
use crate::body::Response;
use crate::chain::Next;
use crate::error::Error;

/// The apps that `call =` can name.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    pub(crate) apps: Apps<Configure>,
}

/// Reads an app's section.
pub(crate) type Configure = fn(&str, &mut Reader<'_>) -> Box<dyn ConfiguredApp>;

impl Registry {
    /// The apps that come with Brim, by their short and their older names.
    pub fn builtin() -> Self {
        Self::default()
            .with::<BasicAuth>("basic_auth")
            .with::<BasicAuth>("brim.wsgi_basic_auth.WSGIBasicAuth")
            .with::<Compress>("compress")
            .with::<Echo>("echo")
            .with::<Echo>("brim.wsgi_echo.WSGIEcho")
            .with::<Files>("files")
            .with::<Files>("brim.wsgi_fs.WSGIFS")
            .with::<Handler>("handler")
            .with::<Headers>("headers")
            .with::<RateLimit>("rate_limit")
            .with::<Redirect>("redirect")
            .with::<Proxy>("proxy")
            .with::<Stats>("stats")
            .with::<Stats>("brim.wsgi_stats.WSGIStats")
    }

    /// Adds an app, or puts it in the place of the one that has this name.
    #[must_use]
    pub fn with<A: App>(mut self, name: &'static str) -> Self {
        self.apps.insert(name, configure::<A>);
        self
    }
}

fn configure<A: App>(name: &str, section: &mut Reader<'_>) -> Box<dyn ConfiguredApp> {
    Box::new(Configured::<A> { name: name.to_owned(), conf: Arc::new(A::parse_conf(section)) })
}

/// An app whose section was read: shared by the workers.
pub(crate) trait ConfiguredApp: Send + Sync {
    /// Its section, if it is a handler's: then it takes socket messages, too.
    fn as_handler(&self) -> Option<&HandlerConf>;

    fn stats(&self) -> Vec<Stat>;
    fn claims(&self) -> Claims;
    fn capacity(&self) -> usize;
    fn build(&self, context: &AppContext) -> Box<dyn BuiltApp>;
}

/// An app of one worker.
pub(crate) trait BuiltApp {
    /// It, if it takes socket messages.
    fn handler(&self) -> Option<Rc<Handler>>;

    fn call_at_once(&self, request: &Request) -> Option<Result<Response, Error>>;

    fn call<'a>(
        &'a self,
        request: Request,
        next: Next,
    ) -> Pin<Box<dyn Future<Output = Result<Response, Error>> + 'a>>;
}

struct Configured<A: App> {
    name: String,
    conf: Arc<A::Conf>,
}

impl<A: App> ConfiguredApp for Configured<A> {
    fn as_handler(&self) -> Option<&HandlerConf> {
        let conf: &dyn Any = &*self.conf;
        conf.downcast_ref()
    }

    fn stats(&self) -> Vec<Stat> {
        A::stats_conf(&self.name, &self.conf)
    }

    fn claims(&self) -> Claims {
        A::claims(&self.conf)
    }

    fn capacity(&self) -> usize {
        A::capacity(&self.conf)
    }

    fn build(&self, context: &AppContext) -> Box<dyn BuiltApp> {
        Box::new(Built(A::new(&self.name, self.conf.clone(), context)))
    }
}

struct Built<A>(A);

impl<A: App> BuiltApp for Built<A> {
    fn handler(&self) -> Option<Rc<Handler>> {
        let app: &dyn Any = &self.0;
        app.downcast_ref::<Handler>().cloned().map(Rc::new)
    }

    fn call_at_once(&self, request: &Request) -> Option<Result<Response, Error>> {
        self.0.call_at_once(request)
    }

    fn call<'a>(
        &'a self,
        request: Request,
        next: Next,
    ) -> Pin<Box<dyn Future<Output = Result<Response, Error>> + 'a>> {
        Box::pin(self.0.call(request, next))
    }
}
