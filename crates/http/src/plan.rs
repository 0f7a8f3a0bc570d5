//! The section and its apps, read and checked as a whole before anything is served.

use std::future::Future;
use std::sync::Arc;

use brim_config::{
    AccessLog, Cause, HttpSection, Kind, Origin, Problem, Reader, SectionName, Tree, has_errors,
    no_section,
};
use brim_service::tls::TlsPlan;
use brim_service::{
    AccessOutput, Connection, Current, NotARequest, Program, Refused, Settings, Stream,
    WorkerContext, access_log_file,
};
use brim_stats::{Layout, RollUpConflict, Stat};

use crate::apps::HandlerConf;
use crate::connection;
use crate::error::ErrorPages;
use crate::hidden;
use crate::registry::{ConfiguredApp, Registry};
use crate::routes;
use crate::scope::Scope;
use crate::worker::{HTTP2, HttpWorker, SMALLEST_BUFFER};

/// An allowance for what is kept of a connection beside hyper's buffers, in bytes. `make bench`
/// prints what a parked one costs: about half of this.
const KEPT: u64 = 4096;

/// HTTP/1.1 as ALPN names it.
const HTTP1: &[u8] = b"http/1.1";

/// The program: HTTP with these apps.
pub(crate) struct Http {
    registry: Registry,
}

/// A section that can be served.
pub(crate) struct HttpPlan {
    pub(crate) section: HttpSection,
    pub(crate) apps: Vec<PlannedApp>,
    pub(crate) error_pages: Arc<ErrorPages>,
    pub(crate) tls: Option<TlsPlan>,
    settings: Settings,
}

/// An app of the chain: its section was read.
pub(crate) struct PlannedApp {
    pub(crate) name: String,
    /// Where its routes stand, else its section, else the `apps` that name it.
    pub(crate) origin: Option<Origin>,
    /// Built-in apps need none.
    pub(crate) has_section: bool,
    pub(crate) app: Box<dyn ConfiguredApp>,
    pub(crate) scope: Scope,
}

impl Http {
    pub(crate) fn new(registry: Registry) -> Self {
        Self { registry }
    }

    /// Reads the section of one app, or finds the built-in one of that name.
    fn app(
        &self,
        tree: &Tree,
        section: &HttpSection,
        name: &str,
        problems: &mut Vec<Problem>,
    ) -> Option<PlannedApp> {
        let mut reader = Reader::new(tree, name);
        let call = reader.get::<String>("call");
        let call = match (tree.section(name), call) {
            (Some(_), None) => {
                reader.refuse(
                    "call",
                    format!("must be set, expected one of {}", self.registry.apps.names()),
                );
                None
            }
            (_, call) => Some(call.unwrap_or_else(|| name.to_owned())),
        };
        let configure = call.as_deref().and_then(|call| self.registry.apps.get(call));
        let app = match (configure, call) {
            (Some(configure), _) => {
                let scope = Scope::read(&mut reader);
                let app = configure(name, &mut reader);
                if let Some(route) = scope.routes.iter().find(|route| route.is_of_messages())
                    && app.as_handler().is_none()
                {
                    let why = format!("{route} is for socket messages, which only handlers get");
                    reader.refuse("route", why);
                }
                let origin = reader.origin("route");
                let origin =
                    origin.or_else(|| section.server.refuse(tree, "apps", String::new()).origin);
                Some(PlannedApp {
                    name: name.to_owned(),
                    origin,
                    has_section: tree.section(name).is_some(),
                    app,
                    scope,
                })
            }
            (None, Some(call)) if tree.section(name).is_some() => {
                reader.refuse(
                    "call",
                    format!("no app \"{call}\", expected one of {}", self.registry.apps.names()),
                );
                None
            }
            (None, Some(_)) => {
                let cause = format!(
                    "no section [{name}], and no built-in app of that name; expected a section or one of {}",
                    self.registry.apps.names()
                );
                problems.push(section.server.refuse(tree, "apps", cause));
                return None;
            }
            (None, None) => None,
        };
        // What an unknown app would have asked for is not known either.
        let known = app.is_some();
        let of_app = reader.finish().into_iter();
        problems.extend(
            of_app
                .filter(|problem| known || matches!(problem.cause, Cause::Refused(_)))
                .map(|problem| Problem { section: problem.section, ..problem }),
        );
        app
    }

    fn layout(tree: &Tree, section: &HttpSection, apps: &[PlannedApp]) -> (Layout, Vec<Problem>) {
        let own = [
            "connection_count",
            "moved_connection_count",
            "request_count",
            "access_log_dropped_count",
        ];
        let own = own.map(Stat::sum);
        let classes = (2..=5).map(|class| Stat::sum(format!("status_{class}xx_count")));
        let codes = section.count_status_codes.iter();
        let codes = codes.map(|code| Stat::sum(format!("status_{code}_count")));
        let of_apps = apps.iter().flat_map(|planned| planned.app.stats());
        let own = own.into_iter().chain(TlsPlan::stats(&section.tls));
        let (layout, conflicts) =
            brim_service::layout(own.chain(classes).chain(codes).chain(of_apps));
        let refuse =
            |conflict: RollUpConflict| section.server.refuse(tree, "apps", conflict.to_string());
        (layout, conflicts.into_iter().map(refuse).collect())
    }
}

impl Program for Http {
    const NAME: &'static str = "brim-http";
    const KIND: Kind = Kind::Wsgi;

    type Plan = HttpPlan;
    type Worker = HttpWorker;

    fn plan(&self, tree: &Tree, name: &SectionName) -> (Option<HttpPlan>, Vec<Problem>) {
        if tree.section(&name.section()).is_none() {
            return (None, vec![no_section(tree, name)]);
        }
        let (section, mut problems) = HttpSection::read(tree, name);
        let apps: Vec<_> = section
            .apps
            .iter()
            .filter_map(|app| self.app(tree, &section, app, &mut problems))
            .collect();
        let (layout, of_layout) = Self::layout(tree, &section, &apps);
        problems.extend(of_layout);
        let error_pages = error_pages(tree, &section, &mut problems);
        // Beside errors, what hides what is only a guess.
        if !has_errors(&problems) {
            problems.extend(hidden::hidden(&section.server.name.section(), &apps));
        }
        let settings = settings(&section, &apps, layout);
        let (tls, of_tls) = TlsPlan::read(tree, &section.server, &section.tls, protocols(&section));
        problems.extend(of_tls);
        let plan = HttpPlan { section, apps, error_pages, tls, settings };
        ((!has_errors(&problems)).then_some(plan), problems)
    }

    fn settings(plan: &HttpPlan) -> &Settings {
        &plan.settings
    }

    fn routes(plan: &HttpPlan, method: &str, url: &str) -> Result<String, NotARequest> {
        routes::explain(plan, method, url)
    }

    fn worker(plan: &Arc<HttpPlan>, context: WorkerContext, _: Option<&HttpWorker>) -> HttpWorker {
        HttpWorker::new(plan, context)
    }

    fn serve(
        current: Current<HttpWorker>,
        connection: Connection,
    ) -> impl Future<Output = ()> + 'static {
        connection::serve(current, connection)
    }

    fn refuse(
        current: Current<HttpWorker>,
        refused: Refused,
    ) -> impl Future<Output = ()> + 'static {
        connection::refuse(current, refused)
    }

    fn turn_away(stream: Stream) -> impl Future<Output = ()> + 'static {
        connection::turn_away(stream)
    }
}

/// What clients may choose by ALPN.
fn protocols(section: &HttpSection) -> &'static [&'static [u8]] {
    if section.http2.on { &[HTTP2, HTTP1] } else { &[HTTP1] }
}

fn error_pages(tree: &Tree, section: &HttpSection, problems: &mut Vec<Problem>) -> Arc<ErrorPages> {
    let pages = section.error_pages.as_deref().map(ErrorPages::read);
    let pages = pages.unwrap_or_else(|| Ok(ErrorPages::default())).unwrap_or_else(|error| {
        problems.push(section.server.refuse(tree, "error_pages", error.to_string()));
        ErrorPages::default()
    });
    Arc::new(pages)
}

fn settings(section: &HttpSection, apps: &[PlannedApp], layout: Layout) -> Settings {
    let access = match section.access_log {
        AccessLog::File => access_log_file(&section.server.name),
        AccessLog::Journal => AccessOutput::Journal,
        AccessLog::Off => AccessOutput::Off,
    };
    let speaks_http2 = section.tls.is_on() && section.http2.on || section.http2.h2c;
    let stream_memory = if speaks_http2 { connection::http2_memory(section) } else { 0 };
    let memory = connection_memory(section, apps);
    let settings = Settings::new(&section.server, layout, memory, access);
    let company = apps.iter().map(|planned| planned.app.capacity());
    let company = company.fold(settings.company, usize::min);
    Settings { stream_memory, company, ..settings }
}

/// What a connection may make us hold: hyper's buffers, one each way, and what we keep ourselves.
/// Bodies pass through them, piece by piece, unless an app collects them within its own limit.
fn connection_memory(section: &HttpSection, apps: &[PlannedApp]) -> u64 {
    let buffer = section.head_limit.max(SMALLEST_BUFFER) as u64;
    let handlers = apps.iter().filter_map(|app| app.app.as_handler()).map(HandlerConf::memory);
    2 * buffer + KEPT + TlsPlan::memory(&section.tls) + handlers.max().unwrap_or(0)
}
