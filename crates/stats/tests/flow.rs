//! Counters from declaration to JSON and back from a file.

use std::collections::BTreeMap;

use brim_stats::{Layout, Registry, RollUp, Saved, SavedError, Snapshot, Stat, report};

fn layout() -> Layout {
    let mut layout = Layout::default();
    for (name, roll_up) in [
        ("start_time", RollUp::Worker),
        ("request_count", RollUp::Sum),
        ("slowest", RollUp::Max),
        ("fewest", RollUp::Min),
    ] {
        layout.declare(Stat::new(name, roll_up)).expect("declared once");
    }
    layout
}

fn counted() -> Registry {
    let registry = Registry::new(layout(), 2);
    for (worker, base) in [(0, 3), (1, 4)] {
        let stats = registry.worker(worker);
        stats.counter("start_time").set(1_700_000_000 + base);
        stats.counter("request_count").add(base);
        stats.counter("slowest").set(base * 10);
        stats.counter("fewest").set(base);
    }
    registry
}

fn by_worker(snapshot: &Snapshot, name: &str) -> Vec<u64> {
    snapshot.workers().values().map(|worker| worker[name]).collect()
}

#[test]
fn totals_follow_the_roll_up_type() {
    let snapshot = counted().snapshot();
    assert_eq!(snapshot.get("request_count"), Some(7));
    assert_eq!(snapshot.get("slowest"), Some(40));
    assert_eq!(snapshot.get("fewest"), Some(3));
    assert_eq!(snapshot.get("start_time"), None);
    assert_eq!(snapshot.get("nonsense"), None);
    assert_eq!(by_worker(&snapshot, "request_count"), [3, 4]);
}

#[test]
fn json_has_totals_and_workers_and_no_zeros() {
    let registry = Registry::new(layout(), 2);
    registry.worker(1).counter("request_count").incr();
    let sections = BTreeMap::from([
        ("wsgi".to_owned(), registry.snapshot().to_json()),
        ("wsgi#idle".to_owned(), Registry::new(layout(), 2).snapshot().to_json()),
    ]);
    assert_eq!(
        report(5, sections),
        r##"{"start_time":5,"wsgi":{"1":{"request_count":1},"request_count":1},"wsgi#idle":{}}"##
    );
}

#[test]
fn a_name_declared_twice_is_shared_and_with_another_type_refused() {
    let mut layout = layout();
    layout.declare(Stat::sum("request_count")).unwrap();
    let error = layout.declare(Stat::new("request_count", RollUp::Max)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "stat \"request_count\" is declared as max, but it is sum already"
    );
}

#[test]
fn values_wrap_and_an_undeclared_name_counts_nowhere() {
    let registry = Registry::new(layout(), 1);
    let counter = registry.worker(0).counter("request_count");
    counter.set(u64::MAX);
    counter.incr();
    assert_eq!(counter.get(), 0);
    registry.worker(0).counter("nonsense").incr();
    registry.worker(7).counter("request_count").incr();
    assert_eq!(registry.snapshot().get("request_count"), Some(0));
}

#[test]
fn saved_counters_come_back_but_not_start_times() {
    let file = Saved::to_bytes(&counted().snapshot());
    let next = Registry::new(layout(), 2);
    next.restore(&Saved::from_bytes(&file).unwrap());
    let snapshot = next.snapshot();
    assert_eq!(by_worker(&snapshot, "request_count"), [3, 4]);
    assert_eq!(by_worker(&snapshot, "start_time"), [0, 0]);
    assert_eq!(snapshot.get("slowest"), Some(40));
}

#[test]
fn totals_stay_when_there_are_fewer_workers_than_before() {
    let file = Saved::to_bytes(&counted().snapshot());
    let next = Registry::new(layout(), 1);
    next.restore(&Saved::from_bytes(&file).unwrap());
    let snapshot = next.snapshot();
    assert_eq!(snapshot.get("request_count"), Some(7));
    assert_eq!(snapshot.get("slowest"), Some(40));
    assert_eq!(snapshot.get("fewest"), Some(3));
}

#[test]
fn a_name_that_changed_its_type_starts_anew() {
    let file = Saved::to_bytes(&counted().snapshot());
    let mut other = Layout::default();
    other.declare(Stat::new("request_count", RollUp::Max)).unwrap();
    let next = Registry::new(other, 1);
    next.restore(&Saved::from_bytes(&file).unwrap());
    assert_eq!(next.snapshot().get("request_count"), Some(0));
}

#[test]
fn a_file_that_is_not_ours_is_refused() {
    assert!(matches!(Saved::from_bytes(b"garbage"), Err(SavedError::Malformed(_))));
    assert!(matches!(
        Saved::from_bytes(br#"{"version":9,"stats":{}}"#),
        Err(SavedError::Version { found: 9 })
    ));
}

#[test]
fn a_counter_of_the_old_layout_still_counts_after_a_reload() {
    let registry = counted();
    let held = registry.worker(0).counter("request_count");
    let mut layout = layout();
    layout.declare(Stat::sum("hello.calls")).unwrap();
    let reloaded = registry.with_layout(layout);
    held.incr();
    assert_eq!(reloaded.snapshot().get("request_count"), Some(8));
    assert_eq!(reloaded.snapshot().get("hello.calls"), Some(0));
}

#[test]
fn the_parts_of_a_snapshot_have_names_of_their_own() {
    let mut layout = Layout::default();
    for name in ["own", "job.runs", "job.v2.runs", "jobs.runs"] {
        layout.declare(Stat::sum(name)).unwrap();
    }
    let registry = Registry::new(layout, 1);
    for (value, name) in (1..).zip(["own", "job.runs", "job.v2.runs", "jobs.runs"]) {
        registry.worker(0).counter(name).set(value);
    }
    let all = registry.snapshot();
    for (part, value) in [("job", 2), ("job.v2", 3), ("jobs", 4)] {
        assert_eq!(all.part(part).totals(), BTreeMap::from([("runs".to_owned(), value)]), "{part}");
    }
    assert_eq!(all.part("other").totals(), BTreeMap::new());
    let rest = all.without_part("job").without_part("jobs");
    let names: Vec<_> = rest.totals().into_keys().collect();
    assert_eq!(names, ["job.v2.runs", "own"]);
}
