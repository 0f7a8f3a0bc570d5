//! Who answers a request.

use crate::bench::{Place, said};

const SITE: &str = "[wsgi]\nport = 8901\napps = stats echo\n[stats]\ncall = stats\nhost = a.org\n\
    [wsgi#x]\nport = 80\napps = echo\n";

#[test]
fn the_apps_of_every_section_are_listed_with_their_reasons() {
    let place = Place::new(SITE);
    let said = said(&mut place.brimctl(&["routes", "/echo"]));
    assert_eq!(
        said.out,
        "[wsgi] GET /echo\n  stats  passes it on  is for host a.org\n  echo   answers       its path is /echo\n\n\
         [wsgi#x] GET /echo\n  echo  answers  its path is /echo\n"
    );
    assert_eq!((said.code, said.err.as_str()), (0, ""));
}

#[test]
fn a_port_and_a_name_pick_the_section() {
    let place = Place::new(SITE);
    let heads = |arguments: &[&str]| {
        let said = said(&mut place.brimctl(&[&["routes"], arguments].concat()));
        assert_eq!(said.code, 0, "{}", said.err);
        let heads = said.out.lines().filter(|line| line.starts_with('['));
        heads.map(str::to_owned).collect::<Vec<_>>().join(", ")
    };
    assert_eq!(heads(&["http://a.org:8901/x"]), "[wsgi] GET /x, host a.org");
    assert_eq!(heads(&["PUT", "http://a.org/x"]), "[wsgi#x] PUT /x, host a.org");
    assert_eq!(heads(&["http://a.org:1/"]), "[wsgi] GET /, host a.org, [wsgi#x] GET /, host a.org");
    assert_eq!(heads(&["/x", "wsgi:x"]), "[wsgi#x] GET /x");
}

#[test]
fn what_is_wrong_is_said() {
    let place = Place::new("[wsgi]\nport = 8901\napps = nope\n");
    let wrong = said(&mut place.brimctl(&["routes", "/"]));
    assert_eq!((wrong.code, wrong.out.as_str()), (78, ""));
    assert!(wrong.err.contains("brim.conf:3: [wsgi] apps: no section [nope]"), "{}", wrong.err);
    let place = Place::new(SITE);
    for (arguments, code) in [
        (&["routes", "GET"][..], 64),
        (&["routes"], 64),
        (&["routes", "/", "nonsense"], 64),
        (&["routes", "/", "wsgi#y"], 78),
    ] {
        assert_eq!(said(&mut place.brimctl(arguments)).code, code, "{arguments:?}");
    }
}
