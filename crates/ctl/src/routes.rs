//! `brimctl routes`: who answers a request, and why the others do not.

use brim_config::{Address, HttpSection, Kind, SectionName};
use brim_launch::Exit;
use brim_launch::program::{NotExecutable, Program, Source};

use crate::error::Error;
use crate::output;
use crate::source::{Loaded, programs};

/// The request that is asked about.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Question {
    method: String,
    url: String,
    /// Those that were named.
    sections: Vec<SectionName>,
}

impl Question {
    /// Reads `[METHOD] URL [SECTION]...`.
    pub(crate) fn of(words: Vec<String>) -> Result<Self, Error> {
        let mut words = words.into_iter().peekable();
        let method = words.next_if(|word| word.bytes().all(|byte| byte.is_ascii_uppercase()));
        let url = words.next().ok_or(Error::NoUrl)?;
        let sections =
            words.map(|word| SectionName::parse(&word).map_err(|_| Error::NotASection(word)));
        Ok(Self {
            method: method.unwrap_or_else(|| "GET".to_owned()),
            url,
            sections: sections.collect::<Result<_, _>>()?,
        })
    }
}

pub(crate) fn routes(source: &Source, question: &Question) -> Result<Exit, Error> {
    let loaded = Loaded::new(source);
    for problem in &loaded.problems {
        output::complain(&problem.to_string());
    }
    let mut sections = loaded.meant(&question.sections)?;
    if sections.is_empty() {
        return Err(loaded.nothing_to_serve());
    }
    if question.sections.is_empty() {
        listening(&loaded, &question.url, &mut sections);
    }
    let programs = programs()?;
    let mut exit = Exit::Success;
    let mut between = "";
    for name in sections {
        let answer = ask(programs.of(&loaded.tree, &name), source, question)?;
        if answer.exit == Exit::Success {
            output::print(&format!("{between}{}", answer.text))?;
            between = "\n";
        } else {
            answer.text.lines().for_each(output::complain);
            exit = answer.exit;
        }
    }
    Ok(exit)
}

/// Leaves the sections that listen on the port of a URL, if there are such.
fn listening(loaded: &Loaded<'_>, url: &str, sections: &mut Vec<SectionName>) {
    let Some(port) = port(url) else { return };
    let listens = |name: &SectionName| {
        let listeners = HttpSection::read(&loaded.tree, name).0.server.listeners;
        let mut addresses = listeners.iter().map(|listener| &listener.address);
        addresses.any(|address| matches!(address, Address::Tcp(tcp) if tcp.port() == port))
    };
    let of_port: Vec<_> =
        sections.iter().filter(|name| name.kind == Kind::Wsgi && listens(name)).cloned().collect();
    if !of_port.is_empty() {
        *sections = of_port;
    }
}

/// The port that a URL means; `None` for a path alone.
fn port(url: &str) -> Option<u16> {
    let (default, rest) = match url.split_once("://") {
        Some(("https", rest)) => (443, rest),
        Some((_, rest)) => (80, rest),
        None if url.starts_with(['/', '*']) => return None,
        None => (80, url),
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    let (host, port) = authority.rsplit_once(':').unwrap_or((authority, ""));
    // The colons of an IPv6 address are no port's.
    let port = if host.starts_with('[') && !host.ends_with(']') { "" } else { port };
    if port.is_empty() { Some(default) } else { port.parse().ok() }
}

struct Answer {
    exit: Exit,
    text: String,
}

fn ask(program: Program, source: &Source, question: &Question) -> Result<Answer, Error> {
    let mut command = program.routes_command(source, &question.method, &question.url);
    let output =
        command.output().map_err(|source| NotExecutable { program: program.clone(), source })?;
    if output.status.success() {
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        return Ok(Answer { exit: Exit::Success, text });
    }
    let known = [Exit::Usage, Exit::Config];
    let exit = known.into_iter().find(|exit| output.status.code() == Some(exit.code().into()));
    let mut text = String::from_utf8_lossy(&output.stderr).into_owned();
    if exit.is_none() || text.trim().is_empty() {
        text.push_str(&format!(
            "[{}]: {} --routes ended with {}\n",
            program.name,
            program.path.display(),
            output.status
        ));
    }
    Ok(Answer { exit: exit.unwrap_or(Exit::System), text })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_method_may_be_left_out() {
        let question = |text: &str| Question::of(text.split(' ').map(str::to_owned).collect());
        let asked = question("POST /x wsgi#a").unwrap();
        assert_eq!((asked.method.as_str(), asked.url.as_str()), ("POST", "/x"));
        assert_eq!(asked.sections.len(), 1);
        let asked = question("http://a/").unwrap();
        assert_eq!((asked.method.as_str(), asked.url.as_str()), ("GET", "http://a/"));
        assert!(matches!(question("GET"), Err(Error::NoUrl)));
        assert!(matches!(question("/x nonsense"), Err(Error::NotASection(_))));
    }

    #[test]
    fn a_url_has_a_port() {
        for (url, expected) in [
            ("/x", None),
            ("*", None),
            ("http://a/x", Some(80)),
            ("https://a", Some(443)),
            ("http://a:8901/x:1", Some(8901)),
            ("a:8901", Some(8901)),
            ("a/x", Some(80)),
            ("http://[::1]/", Some(80)),
            ("http://[::1]:81/", Some(81)),
            ("http://a:x/", None),
        ] {
            assert_eq!(port(url), expected, "{url}");
        }
    }
}
