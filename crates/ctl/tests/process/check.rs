//! check, config, and the command line itself.

use std::fs;

use crate::bench::{Place, said};

#[test]
fn a_good_configuration_is_fine() {
    let place = Place::new("[wsgi]\nport = 8901\napps = echo\n[wsgi#x]\nport = 8902\n");
    let all = said(&mut place.brimctl(&["check"]));
    assert_eq!(
        (all.code, all.out.as_str(), all.err.as_str()),
        (0, "configuration is fine: 2 sections\n", "")
    );
    let one = said(&mut place.brimctl(&["check", "wsgi:x"]));
    assert_eq!((one.code, one.out.as_str()), (0, "configuration is fine: 1 section\n"));
}

#[test]
fn an_empty_configuration_is_fine() {
    let said = said(&mut Place::new("").brimctl(&["check"]));
    assert_eq!((said.code, said.out.as_str()), (0, "configuration is fine: 0 sections\n"));
}

#[test]
fn warnings_are_printed_and_do_not_fail() {
    let place = Place::new("[wsgi]\nport = 8901\nuser = me\n");
    let said = said(&mut place.brimctl(&["check"]));
    assert_eq!(
        (said.code, said.out.as_str()),
        (0, "configuration is fine: 1 section, 1 warning\n")
    );
    assert_eq!(said.err.lines().count(), 1, "{}", said.err);
    assert!(said.err.starts_with("/etc/brim/brim.conf:3: warning: [wsgi] user: "), "{}", said.err);
}

#[test]
fn all_problems_come_in_one_run_in_order_and_each_once() {
    let place = Place::new(
        "[brim]\nworkers = many\n[wsgi]\nport = 8901\nportt = 1\napps = echo nope\n\
         [wsgi#x]\nport = 8901\n[tcp]\n[lost]\n",
    );
    fs::write(place.file("etc/brim/brim.conf.d/10-more.conf"), "[wsgi#x]\njunk\n").unwrap();
    let said = said(&mut place.brimctl(&["check"]));
    let places: Vec<_> =
        said.err.lines().map(|line| line.split_once(": ").unwrap().0.to_owned()).collect();
    let conf = |line: u32| format!("/etc/brim/brim.conf:{line}");
    let mut expected: Vec<_> = [2, 5, 6, 8, 9, 10].map(conf).to_vec();
    expected.push("/etc/brim/brim.conf.d/10-more.conf:2".to_owned());
    assert_eq!(places, expected, "{}", said.err);
    assert_eq!((said.code, said.out.as_str()), (78, ""));
}

/// What the golden trees show of the reader, by the program that people run.
#[test]
fn handlers_and_gateways_that_do_not_fit_are_told_each_with_its_line() {
    for tree in ["86-bad-handlers", "87-bad-gateway"] {
        let tree = format!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/{}"), tree);
        let read = |file: &str| fs::read_to_string(format!("{tree}/{file}")).unwrap();
        let said = said(&mut Place::new(&read("etc/brim/brim.conf")).brimctl(&["check"]));
        assert_eq!(said.err, read("expected/problems"));
        assert_eq!((said.code, said.out.as_str()), (78, ""));
    }
}

#[test]
fn only_the_named_sections_are_checked() {
    let place = Place::new("[wsgi]\nport = 8901\n[wsgi#x]\nportt = 1\n");
    assert_eq!(said(&mut place.brimctl(&["check", "wsgi"])).code, 0);
    assert_eq!(said(&mut place.brimctl(&["check", "wsgi#x"])).code, 78);
    let gone = said(&mut place.brimctl(&["check", "wsgi#y"]));
    assert_eq!(gone.code, 78);
    assert!(
        gone.err.starts_with("brimctl: there is no section [wsgi#y]; there is [wsgi] (brim@wsgi)")
    );
}

#[test]
fn a_program_that_is_not_there_is_a_problem_with_its_line() {
    let place = Place::new("[wsgi]\nport = 8901\nprogram = /nonexistent/mine\n");
    let said = said(&mut place.brimctl(&["check"]));
    assert_eq!(said.code, 78);
    let expected = "/etc/brim/brim.conf:3: [wsgi] program: /nonexistent/mine cannot be executed: ";
    assert!(said.err.starts_with(expected), "{}", said.err);
}

#[test]
fn one_file_is_checked_with_the_drop_ins_beside_it() {
    let place = Place::new("[wsgi]\nport = 0\n");
    assert_eq!(said(&mut place.brimctl_file(&["check"])).code, 0);
    assert_eq!(said(&mut place.brimctl(&["check"])).code, 78, "port 0 is for one's own file");
    fs::write(place.file("etc/brim/brim.conf.d/10.conf"), "[wsgi]\nportt = 1\n").unwrap();
    let drop_in = said(&mut place.brimctl_file(&["check"]));
    assert!(drop_in.err.contains("brim.conf.d/10.conf:2: [wsgi] portt: "), "{}", drop_in.err);
}

#[test]
fn config_shows_where_each_key_comes_from() {
    let place = Place::new("[wsgi]\nport = 8901\napps = echo\n[echo]\ncall = echo\n");
    fs::write(place.file("etc/brim/brim.conf.d/10.conf"), "[wsgi]\nport = 8902\n").unwrap();
    let all = said(&mut place.brimctl(&["config"]));
    assert_eq!(
        all.out,
        "[wsgi]\nport = 8902  # /etc/brim/brim.conf.d/10.conf:2\n\
         apps = echo  # /etc/brim/brim.conf:3\n\n[echo]\ncall = echo  # /etc/brim/brim.conf:5\n"
    );
    let one = said(&mut place.brimctl(&["config", "echo"]));
    assert_eq!(one.out, "[echo]\ncall = echo  # /etc/brim/brim.conf:5\n");
    assert_eq!(said(&mut place.brimctl(&["config", "lost"])).code, 78);
}

#[test]
fn a_wrong_command_line_is_64() {
    let place = Place::new("");
    for arguments in [&[][..], &["nonsense"], &["check", "--fast"], &["check", "nonsense"]] {
        let said = said(&mut place.brimctl(arguments));
        assert_eq!((said.code, said.out.as_str()), (64, ""), "{arguments:?} {}", said.err);
    }
}

#[test]
fn help_version_and_completions_are_printed() {
    let place = Place::new("");
    let printed = |arguments: &[&str]| {
        let mut command = std::process::Command::new(crate::bench::programs().join("brimctl"));
        let said = said(command.args(arguments));
        assert_eq!((said.code, said.err.as_str()), (0, ""), "{arguments:?}");
        said.out
    };
    assert!(printed(&["--help"]).contains("systemctl enable --now brim@wsgi"));
    assert_eq!(printed(&["--version"]), format!("brimctl {}\n", env!("CARGO_PKG_VERSION")));
    for shell in ["bash", "zsh", "fish"] {
        let script = printed(&["completions", shell]);
        assert!(script.contains("reload") && !script.contains("exec-server"), "{shell}");
    }
    drop(place);
}

#[test]
fn without_a_bus_it_says_so() {
    let place = Place::new("[wsgi]\nport = 8901\n");
    for command in ["status", "stats", "reload"] {
        let mut call = match command {
            "stats" => place.program("brimctl", &[command]),
            _ => place.brimctl(&[command]),
        };
        let said = said(&mut call);
        assert_eq!(said.code, 71, "{command}");
        assert!(said.err.contains("the system bus cannot be reached"), "{command} {}", said.err);
    }
}
