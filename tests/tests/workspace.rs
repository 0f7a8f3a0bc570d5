//! The order of the crates: `members` in the top `Cargo.toml` is the order of dependency, and a crate
//! uses only crates above it.
#![forbid(unsafe_code)]

use std::fs;
use std::path::Path;

fn top() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the repository's top")
}

/// The folders of `members`, in their order.
fn members() -> Vec<String> {
    let manifest = fs::read_to_string(top().join("Cargo.toml")).expect("the workspace's manifest");
    let list = manifest.split("members = [").nth(1).and_then(|rest| rest.split(']').next());
    let list = list.expect("a list of members");
    list.split(',')
        .map(|folder| folder.trim().trim_matches('"').to_owned())
        .filter(|folder| !folder.is_empty())
        .collect()
}

/// The packages of ours that a member's manifest names, its own included.
fn names(folder: &str) -> (String, Vec<String>) {
    let manifest = fs::read_to_string(top().join(folder).join("Cargo.toml")).expect("a manifest");
    let name = manifest.lines().find_map(|line| line.strip_prefix("name = \""));
    let name = name.expect("a name").trim_end_matches('"').to_owned();
    let used = manifest
        .lines()
        .filter_map(|line| line.split(['=', '.', ' ']).next())
        .filter(|word| word.starts_with("brim-"))
        .map(str::to_owned);
    (name, used.collect())
}

#[test]
fn a_crate_uses_only_crates_above_it() {
    let mut above: Vec<String> = Vec::new();
    let mut uses = 0;
    for folder in members() {
        let (name, used) = names(&folder);
        for used in used.iter().filter(|used| **used != name) {
            assert!(above.contains(used), "{name} uses {used}, which is not above it");
            uses += 1;
        }
        above.push(name);
    }
    assert!(above.len() >= 9 && uses >= 9, "only {uses} uses were found among {above:?}");
}

#[test]
fn every_crate_forbids_unsafe_code() {
    for folder in members() {
        let roots = ["src/lib.rs", "src/main.rs"].map(|root| top().join(&folder).join(root));
        let roots: Vec<_> = roots.iter().filter(|root| root.exists()).collect();
        assert!(!roots.is_empty(), "{folder} has no root");
        for root in roots {
            let text = fs::read_to_string(root).expect("a crate's root");
            assert!(text.contains("#![forbid(unsafe_code)]"), "{}", root.display());
        }
    }
}

/// The names of a member's examples: those that its manifest gives, and the files that cargo finds.
fn examples(folder: &str) -> Vec<String> {
    let manifest = fs::read_to_string(top().join(folder).join("Cargo.toml")).expect("a manifest");
    let named = manifest.split("[[example]]").skip(1);
    let named = named.filter_map(|rest| rest.split("name = \"").nth(1)?.split('"').next());
    let mut names: Vec<_> = named.map(str::to_owned).collect();
    if !manifest.contains("autoexamples = false") {
        let files = fs::read_dir(top().join(folder).join("examples")).into_iter().flatten();
        let files = files.map(|file| file.expect("an entry").path());
        let files = files.filter(|file| file.extension().is_some_and(|ending| ending == "rs"));
        names.extend(files.filter_map(|file| Some(file.file_stem()?.to_str()?.to_owned())));
    }
    names
}

#[test]
fn no_two_examples_have_the_same_name() {
    let mut all: Vec<_> = members().iter().flat_map(|folder| examples(folder)).collect();
    assert!(all.len() >= 9, "only these were found: {all:?}");
    all.sort_unstable();
    let twice = all.windows(2).find(|two| two[0] == two[1]);
    // They are built into one folder, where the last one would win.
    assert_eq!(twice, None);
}
