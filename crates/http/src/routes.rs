//! `--routes METHOD URL`: which app would answer, and why the others pass.

use std::fmt::Write as _;

use brim_config::{HostName, RequestPath};
use brim_service::NotARequest;
use http::{Method, StatusCode, Uri};

use crate::app::Claims;
use crate::error::title;
use crate::plan::{HttpPlan, PlannedApp};

/// A table of the section's apps, in their order, up to the one that answers.
pub(crate) fn explain(plan: &HttpPlan, method: &str, url: &str) -> Result<String, NotARequest> {
    let method = Method::from_bytes(method.as_bytes())
        .map_err(|_| NotARequest::Method(method.to_owned()))?;
    if url.starts_with(['@', '<']) {
        return Ok(explain_message(plan, url));
    }
    let target = target(url).ok_or_else(|| NotARequest::Url(url.to_owned()))?;
    let host = target.authority().and_then(|authority| HostName::parse(authority.as_str()));
    let mut lines = Vec::new();
    let path = RequestPath::of(target.path());
    let shown = match &path {
        Ok(path) => String::from_utf8_lossy(path.decoded(target.path())).into_owned(),
        Err(_) => target.path().to_owned(),
    };
    match path {
        _ if matches!(method, Method::TRACE | Method::CONNECT) => {
            let status = title(StatusCode::NOT_IMPLEMENTED);
            lines.push(["", &status, "TRACE and CONNECT are not served"].map(str::to_owned));
        }
        Err(bad) => {
            let status = title(StatusCode::BAD_REQUEST);
            lines.push(["", &status, bad.reason()].map(str::to_owned));
        }
        Ok(_) => walk(&plan.apps, host.as_ref(), &shown, &mut lines),
    }
    let host = host.map_or(String::new(), |host| format!(", host {host}"));
    Ok(table(plan, &format!("{method} {shown}{host}"), &lines))
}

fn table(plan: &HttpPlan, request: &str, lines: &[[String; 3]]) -> String {
    let mut text = format!("[{}] {request}\n", plan.section.server.name.section());
    let width = |column: usize| {
        let cells = lines.iter().filter_map(|line| line.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let (first, second) = (width(0), width(1));
    for [name, what, why] in lines {
        let line = format!("  {name:first$}  {what:second$}  {why}");
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

/// The same for a socket message, whose path begins with `@` or `<`.
fn explain_message(plan: &HttpPlan, path: &str) -> String {
    let routes = plan.apps.iter().enumerate().filter(|(_, app)| app.app.as_handler().is_some());
    let routes = routes.flat_map(|(at, app)| app.scope.routes.iter().map(move |route| (at, route)));
    let matching = routes.filter(|(_, route)| route.matches(path.as_bytes()));
    // Of the longest ones the first.
    let found = matching.min_by_key(|(_, route)| std::cmp::Reverse(route.prefix().len()));
    let mut lines = Vec::new();
    for (at, app) in plan.apps.iter().enumerate() {
        let (what, why) = match found {
            Some((winner, route)) if winner == at => ("answers", format!("by route {route}")),
            _ if app.app.as_handler().is_none() => {
                ("passes it on", "socket messages are for handlers".to_owned())
            }
            _ => ("passes it on", format!("is for route {}", list(&app.scope.routes))),
        };
        lines.push([app.name.clone(), what.to_owned(), why]);
    }
    if found.is_none() {
        let status = title(StatusCode::NOT_FOUND);
        lines.push(["(end)".to_owned(), "answers".to_owned(), status]);
    }
    let kind = if path.starts_with('@') { "JSON" } else { "XML" };
    table(plan, &format!("{kind} {path}"), &lines)
}

/// What people type: a path, a URL, or one without its `http://`.
fn target(url: &str) -> Option<Uri> {
    let url = url.replace(' ', "%20");
    let whole = match url.starts_with('/') || url == "*" || url.contains("://") {
        true => url,
        false => format!("http://{url}"),
    };
    whole.parse().ok()
}

fn walk(
    apps: &[PlannedApp],
    host: Option<&HostName<'_>>,
    path: &str,
    lines: &mut Vec<[String; 3]>,
) {
    for planned in apps {
        let (what, why, ends) = match verdict(planned, host, path) {
            Verdict::Passes(why) => ("passes it on", why, false),
            Verdict::May(why) => ("may answer", why, false),
            Verdict::Answers(why) => ("answers", why, true),
        };
        lines.push([planned.name.clone(), what.to_owned(), why]);
        if ends {
            return;
        }
    }
    let status = title(StatusCode::NOT_FOUND);
    lines.push(["(end)".to_owned(), "answers".to_owned(), status]);
}

/// What an app makes of a request, and why.
enum Verdict {
    Passes(String),
    May(String),
    Answers(String),
}

fn verdict(planned: &PlannedApp, host: Option<&HostName<'_>>, path: &str) -> Verdict {
    let scope = &planned.scope;
    let of_host = host.is_some_and(|host| scope.hosts.iter().any(|one| one.matches(host)));
    if !scope.hosts.is_empty() && !of_host {
        return Verdict::Passes(format!("is for host {}", list(&scope.hosts)));
    }
    let route = scope.routes.iter().find(|route| route.matches(path.as_bytes()));
    if !scope.routes.is_empty() && route.is_none() {
        return Verdict::Passes(format!("is for route {}", list(&scope.routes)));
    }
    let by = route.map_or(String::new(), |route| format!("by route {route}"));
    match planned.app.claims() {
        Claims::Everything => Verdict::Answers(by),
        Claims::Perhaps => Verdict::May(by),
        Claims::Nothing => Verdict::Passes(by),
        Claims::Path(own) if own == path => Verdict::Answers(format!("its path is {own}")),
        Claims::Path(own) => Verdict::Passes(format!("its path is {own}")),
    }
}

/// The first ones of a list.
fn list(all: &[impl ToString]) -> String {
    const SHOWN: usize = 5;
    let mut shown: Vec<_> = all.iter().take(SHOWN).map(ToString::to_string).collect();
    if all.len() > SHOWN {
        shown.push("...".to_owned());
    }
    shown.join(" ")
}
