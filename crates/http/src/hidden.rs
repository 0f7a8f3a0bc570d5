//! Apps that no request gets to, because an earlier one answers all of theirs.

use brim_config::{Cause, Problem, RoutePattern, Severity};

use crate::app::Claims;
use crate::plan::PlannedApp;
use crate::scope::Scope;

/// A warning for each app, and each route, that another one hides.
pub(crate) fn hidden(server: &str, apps: &[PlannedApp]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (place, app) in apps.iter().enumerate() {
        let earlier = apps.get(..place).unwrap_or_default();
        if is_beside_itself(app) {
            let why = "the app answers one path, and none of its routes matches that";
            problems.push(warning((server, app), "route", why.to_owned()));
        } else if let Some(other) = earlier.iter().find(|earlier| hides(earlier, app, &app.scope)) {
            let key = if app.scope.routes.is_empty() { "call" } else { "route" };
            problems.push(warning(
                (server, app),
                key,
                format!("no request gets here: {}", blame(other)),
            ));
        } else if app.scope.routes.len() > 1 {
            problems.extend(app.scope.routes.iter().filter_map(|route| {
                let routes = vec![route.clone()];
                let part = Scope { routes, ..app.scope.clone() };
                let other = earlier.iter().find(|earlier| hides(earlier, app, &part))?;
                let why = format!("no request gets here by {route}: {}", blame(other));
                Some(warning((server, app), "route", why))
            }));
        }
    }
    problems
}

fn blame(other: &PlannedApp) -> String {
    let place = other.origin.as_ref().map_or(String::new(), |origin| format!(" ({origin})"));
    format!("[{}]{place}, which stands before it in `apps`, answers them all", other.name)
}

fn warning((server, app): (&str, &PlannedApp), key: &str, why: String) -> Problem {
    // An app without a section is only named in the server's.
    let (section, key, why) = match app.has_section {
        true => (app.name.as_str(), key, why),
        false => (server, "apps", format!("{}: {why}", app.name)),
    };
    Problem {
        origin: app.origin.clone(),
        section: Some(section.to_owned()),
        key: Some(key.to_owned()),
        severity: Severity::Warning,
        cause: Cause::Refused(why),
    }
}

/// Whether the one path that an app answers is not among its routes.
fn is_beside_itself(app: &PlannedApp) -> bool {
    match app.app.claims() {
        Claims::Path(path) => !lets_through(&app.scope.routes, &path),
        _ => false,
    }
}

/// Whether one app answers everything that a later one could get within a scope.
fn hides(earlier: &PlannedApp, later: &PlannedApp, scope: &Scope) -> bool {
    let hosts = &earlier.scope.hosts;
    let same_hosts = hosts.is_empty()
        || (!scope.hosts.is_empty()
            && scope.hosts.iter().all(|host| hosts.iter().any(|wide| wide.covers(host))));
    let routes = &earlier.scope.routes;
    same_hosts
        && match (earlier.app.claims(), later.app.claims()) {
            (Claims::Everything, Claims::Path(path)) => lets_through(routes, &path),
            (Claims::Everything, _) => {
                let covered = |route: &RoutePattern| match routes.is_empty() {
                    // Without routes there are no messages.
                    true => !route.is_of_messages(),
                    false => routes.iter().any(|wide| wide.covers(route)),
                };
                let all = scope.routes.is_empty() && routes.is_empty();
                all || (!scope.routes.is_empty() && scope.routes.iter().all(covered))
            }
            (Claims::Path(path), Claims::Path(other)) => {
                path == other && lets_through(routes, &path)
            }
            _ => false,
        }
}

fn lets_through(routes: &[RoutePattern], path: &str) -> bool {
    routes.is_empty() || routes.iter().any(|route| route.matches(path.as_bytes()))
}
