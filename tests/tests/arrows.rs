//! Crates exist to forbid dependencies. This reads the workspace and fails on an arrow that `ARCHITECTURE.md` does not have,
//! and on effects inside the crates that are pure.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod tree;

use std::collections::BTreeSet;

use syn::visit::Visit;

/// Our own crates that each crate may use in what ships. A crate that is missing here fails the test: say where it stands.
const ARROWS: &[(&str, &[&str])] = &[
    ("bonfire-proto", &[]),
    ("bonfire-engine", &["bonfire-proto"]),
    ("bonfire-disk", &["bonfire-proto", "bonfire-engine"]),
    ("bonfire-store", &["bonfire-proto", "bonfire-engine"]),
    ("bonfire-net", &["bonfire-proto", "bonfire-engine"]),
    ("bonfire-unpack", &["bonfire-proto", "bonfire-engine", "bonfire-disk"]),
    (
        "bonfire-peer",
        &["bonfire-proto", "bonfire-engine", "bonfire-disk", "bonfire-store", "bonfire-net", "bonfire-unpack"],
    ),
    ("bonfire-gateway", &["bonfire-proto", "bonfire-engine", "bonfire-peer"]),
    ("bonfire-cli", &["bonfire-proto", "bonfire-engine", "bonfire-peer", "bonfire-gateway", "bonfire-unpack"]),
    ("bonfire-desktop", &["bonfire-proto", "bonfire-engine", "bonfire-peer"]),
    (
        "bonfire-testkit",
        &["bonfire-proto", "bonfire-engine", "bonfire-disk", "bonfire-store", "bonfire-net", "bonfire-peer"],
    ),
    (
        "bonfire-tests",
        &["bonfire-proto", "bonfire-engine", "bonfire-disk", "bonfire-store", "bonfire-net", "bonfire-peer"],
    ),
];

/// Crates from elsewhere that would bring a runtime, a socket, a database, files, a clock or chance into a crate.
const FOREIGN: &[(&str, &[&str])] = &[
    ("bonfire-proto", &["tokio", "tokio-util", "quinn", "rusqlite", "notify", "mdns-sd", "rustix", "socket2", "rand"]),
    (
        "bonfire-engine",
        &[
            "tokio",
            "tokio-util",
            "quinn",
            "quinn-proto",
            "rusqlite",
            "notify",
            "mdns-sd",
            "rustix",
            "socket2",
            "rand",
            "getrandom",
            "fastrand",
            "chrono",
            "time",
            "if-addrs",
            "rustls",
            "ring",
            "rcgen",
        ],
    ),
    ("bonfire-disk", &["tokio", "quinn", "rusqlite", "mdns-sd", "rustls"]),
    ("bonfire-unpack", &["tokio", "quinn", "rusqlite", "mdns-sd", "rustls", "notify"]),
    ("bonfire-store", &["tokio", "quinn", "mdns-sd", "rustls", "notify"]),
    ("bonfire-net", &["rusqlite", "notify"]),
    ("bonfire-cli", &["quinn", "rusqlite", "notify", "mdns-sd", "rustls"]),
];

/// What the engine may not name, wherever it stands in a path.
const IMPURE: &[&str] = &[
    "std::fs",
    "std::env",
    "std::process",
    "std::thread",
    "Instant::now",
    "SystemTime::now",
    "SystemTime",
    "HashMap",
    "HashSet",
    "RandomState",
    "UdpSocket",
    "TcpStream",
    "TcpListener",
    "Uuid::new_v4",
    "Uuid::now_v7",
    "tokio",
    "quinn",
    "rusqlite",
    "tracing",
];

/// One crate's use of another: from, to, whether only its tests use it.
type Arrow = (String, String, bool);

#[test]
fn no_crate_depends_on_one_that_the_design_keeps_from_it() {
    let (members, arrows) = read_workspace();
    assert!(members.len() >= 8, "{members:?}");
    let wrong = forbidden(&members, &arrows);
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn every_crate_from_elsewhere_is_in_the_decision_on_crates() {
    let manifest = tree::read("Cargo.toml");
    let page = tree::read("docs/decisions/0001-crates.md");
    let section = manifest.split("[workspace.dependencies]").nth(1).unwrap().split("\n[").next().unwrap();
    for line in section.lines().filter(|l| !l.starts_with('#')) {
        let Some((name, _)) = line.split_once(" =") else { continue };
        assert!(
            name.starts_with("bonfire-") || page.contains(&format!("`{name}`")),
            "{name} is not in docs/decisions/0001-crates.md: say what for, who keeps it up, its licence"
        );
    }
}

#[test]
fn the_engine_names_no_clock_no_files_no_runtime_and_no_unordered_map() {
    let mut wrong = Vec::new();
    let sources: Vec<_> =
        tree::files().into_iter().filter(|f| f.starts_with("crates/engine/src/") && tree::is_production(f)).collect();
    assert!(!sources.is_empty());
    for path in sources {
        wrong.extend(impurities(&tree::read(&path)).into_iter().map(|found| format!("{path} names {found}")));
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn catches_a_planted_arrow() {
    let (mut members, arrows) = read_workspace();
    for (from, to, dev_only) in [
        ("bonfire-disk", "bonfire-net", false),
        ("bonfire-store", "bonfire-disk", true),
        ("bonfire-engine", "bonfire-disk", false),
        ("bonfire-proto", "bonfire-engine", false),
        ("bonfire-engine", "tokio", false),
        ("bonfire-peer", "bonfire-testkit", false),
        ("bonfire-cli", "bonfire-net", false),
    ] {
        let planted = (from.to_owned(), to.to_owned(), dev_only);
        let mut with = arrows.clone();
        with.insert(planted);
        let wrong = forbidden(&members, &with);
        assert!(wrong.iter().any(|w| w.contains(from) && w.contains(to)), "{from} to {to} was not caught: {wrong:?}");
    }
    members.insert("bonfire-stranger".into());
    assert!(forbidden(&members, &arrows).iter().any(|w| w.contains("bonfire-stranger")));
}

#[test]
fn catches_a_planted_impurity() {
    for source in [
        "use std::fs;",
        "use std::{fmt, fs::File};",
        "fn f() { std::fs::remove_file(x); }",
        "use std::time::Instant; fn f() { let t = Instant::now(); }",
        "fn f() -> std::time::SystemTime { loop {} }",
        "struct S { m: std::collections::HashMap<u8, u8> }",
        "use std::collections::{BTreeMap, HashSet};",
        "use tokio::sync::mpsc;",
        "fn f() { let id = Uuid::new_v4(); }",
        "fn f() { assert!(Instant::now() > t); }",
    ] {
        assert!(!impurities(source).is_empty(), "not caught: {source}");
    }
    for source in [
        "use std::collections::BTreeMap; // HashMap order would differ",
        "/// Never calls Instant::now().\nfn f(now: Instant) {}",
        "#[cfg(test)] mod tests { use std::collections::HashMap; }",
        "use std::net::SocketAddr; fn f() { \"std::fs\"; }",
    ] {
        assert_eq!(impurities(source), Vec::<String>::new(), "{source}");
    }
}

fn read_workspace() -> (BTreeSet<String>, BTreeSet<Arrow>) {
    let metadata = cargo_metadata::MetadataCommand::new()
        .manifest_path(tree::root().join("Cargo.toml"))
        .no_deps()
        .other_options(vec!["--offline".into()])
        .exec()
        .unwrap();
    let mut arrows = BTreeSet::new();
    for package in &metadata.packages {
        for dependency in &package.dependencies {
            let dev_only = dependency.kind == cargo_metadata::DependencyKind::Development;
            arrows.insert((package.name.to_string(), dependency.name.clone(), dev_only));
        }
    }
    (metadata.packages.iter().map(|p| p.name.to_string()).collect(), arrows)
}

fn forbidden(members: &BTreeSet<String>, arrows: &BTreeSet<Arrow>) -> Vec<String> {
    let mut wrong = Vec::new();
    for member in members.iter().filter(|m| !ARROWS.iter().any(|(name, _)| name == m)) {
        wrong.push(format!("{member} is not in the table of arrows"));
    }
    for (from, to, dev_only) in arrows {
        let ours = members.contains(to);
        let allowed =
            ARROWS.iter().find(|(name, _)| name == from).is_some_and(|(_, to_all)| to_all.contains(&to.as_str()));
        // Tests may build a room out of anything; their own crate's neighbours stay forbidden to them.
        let for_tests = *dev_only && to == "bonfire-testkit" && from != "bonfire-proto";
        if ours && !allowed && !for_tests {
            wrong.push(format!("{from} must not depend on {to}"));
        }
        let foreign = FOREIGN.iter().find(|(name, _)| name == from).is_some_and(|(_, all)| all.contains(&to.as_str()));
        if foreign && !dev_only {
            wrong.push(format!("{from} must not depend on {to}: it has to stay free of what that brings"));
        }
    }
    wrong
}

fn impurities(source: &str) -> Vec<String> {
    let file = syn::parse_file(source).unwrap();
    let mut reader = Reader::default();
    reader.visit_file(&file);
    let mut found: Vec<String> = reader
        .paths
        .iter()
        .flat_map(|path| IMPURE.iter().filter(|bad| names(path, bad)).map(|bad| (*bad).to_owned()))
        .collect();
    found.dedup();
    found
}

/// Whether the parts of `bad` follow each other in `path`.
fn names(path: &str, bad: &str) -> bool {
    let (path, bad): (Vec<_>, Vec<_>) = (path.split("::").collect(), bad.split("::").collect());
    path.windows(bad.len()).any(|w| w == bad)
}

/// Collects every path that code names: in `use`, in expressions and types, and inside macros.
#[derive(Default)]
struct Reader {
    paths: Vec<String>,
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        if !tree::is_test_only(&item.attrs) {
            syn::visit::visit_item_mod(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        if !tree::is_test_only(&item.attrs) {
            self.flatten("", &item.tree);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let parts: Vec<String> = path.segments.iter().map(|s| s.ident.to_string()).collect();
        self.paths.push(parts.join("::"));
        syn::visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, mac: &'ast syn::Macro) {
        let text = mac.tokens.to_string().replace(" :: ", "::");
        let words = text.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':'));
        self.paths.extend(words.filter(|w| !w.is_empty()).map(str::to_owned));
        syn::visit::visit_macro(self, mac);
    }
}

impl Reader {
    fn flatten(&mut self, prefix: &str, tree: &syn::UseTree) {
        let joined = |ident: &syn::Ident| {
            if prefix.is_empty() { ident.to_string() } else { format!("{prefix}::{ident}") }
        };
        match tree {
            syn::UseTree::Path(p) => self.flatten(&joined(&p.ident), &p.tree),
            syn::UseTree::Group(g) => g.items.iter().for_each(|t| self.flatten(prefix, t)),
            syn::UseTree::Name(n) => self.paths.push(joined(&n.ident)),
            syn::UseTree::Rename(r) => self.paths.push(joined(&r.ident)),
            syn::UseTree::Glob(_) => self.paths.push(prefix.to_owned()),
        }
    }
}
