//! The label of each path of a title: what its files are called in snapshots, the same on every machine.
//!
//! A label comes from the path as the manifest writes it, never from where that is on a machine. Where the manifest has a
//! place for Windows and its counterpart for Linux, both carry the label of the one for Windows. Two paths are counterparts
//! only when nothing else in the title could be meant; otherwise each has a label of its own, and the save stays where it is.

use std::collections::{BTreeMap, BTreeSet};

use bonfire_proto::RelPath;
use bonfire_proto::digest::FieldHasher;

use super::facts::Family;
use super::index::{FileRule, Purpose, Title};
use super::placeholders::Placeholder;
use super::rule_path::{Part, PathRejected, Piece, RulePath};

/// Most bytes of a label.
pub const LABEL_LEN_MAX: usize = 32;

/// Most bytes of the readable beginning of a label.
const READABLE_MAX: usize = 20;

/// A path with its label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Labelled<'a> {
    /// The rule that has the path.
    pub rule: &'a FileRule,
    /// The path.
    pub path: RulePath,
    /// What its files are called in snapshots, before the first `/`, when the path is a folder or ends in a pattern.
    pub label: String,
    /// What they are called when the path is a single file. None when it ends in a pattern.
    pub file: Option<FileLabel>,
    /// Systems for which the rule holds.
    pub families: BTreeSet<Family>,
    /// Systems on which the label has a place.
    pub reach: BTreeSet<Family>,
}

/// What a path is called in snapshots when it is a single file. The manifest does not say whether it is, so that a snapshot
/// has to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileLabel {
    /// The label.
    pub label: String,
    /// The file's name in snapshots.
    pub name: String,
}

/// The title's paths with their labels, and those that no machine uses, with the reason. In the order of the title.
#[must_use]
pub fn labels(title: &Title) -> (Vec<Labelled<'_>>, Vec<(&FileRule, PathRejected)>) {
    let (mut labelled, mut rejected) = (Vec::new(), Vec::new());
    for rule in &title.files {
        match RulePath::parse(&rule.path) {
            Ok(path) => labelled.push(Labelled {
                label: label(&path, false),
                file: node_name(&path).map(|name| FileLabel { label: label(&path, true), name }),
                families: families(rule, &path),
                reach: BTreeSet::new(),
                rule,
                path,
            }),
            Err(why) => rejected.push((rule, why)),
        }
    }
    for (linux, windows) in counterparts(&labelled) {
        let (label, file) = (labelled[windows].label.clone(), labelled[windows].file.clone());
        labelled[linux].label = label;
        labelled[linux].file = file;
    }
    let mut reach: BTreeMap<String, BTreeSet<Family>> = BTreeMap::new();
    for l in &labelled {
        reach.entry(l.label.clone()).or_default().extend(&l.families);
    }
    for l in &mut labelled {
        l.reach = reach.get(&l.label).cloned().unwrap_or_default();
    }
    (labelled, rejected)
}

/// Something to read, then 8 digits of the hash of the path's key, and of `file` where it is one.
fn label(path: &RulePath, is_file: bool) -> String {
    let (above, node) = path.node();
    let texts = above.iter().chain(node.iter().filter(|p| !p.is_wild()));
    let last = texts.rev().find_map(|p| p.as_text().map(readable).filter(|t| !t.is_empty()));
    let mut hasher = FieldHasher::new();
    hasher.field(path.key().as_bytes());
    if is_file {
        hasher.field(b"file");
    }
    let hash = hasher.finish().to_string();
    format!("{}-{}", last.unwrap_or_else(|| "save".to_owned()), &hash[..8])
}

fn readable(name: &str) -> String {
    let mut out = String::new();
    for c in name.chars() {
        let c = if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
        if out.len() < READABLE_MAX && !(c == '-' && (out.is_empty() || out.ends_with('-'))) {
            out.push(c);
        }
    }
    out.trim_end_matches('-').to_owned()
}

/// The last name as the manifest spells it; what differs from machine to machine is called by its placeholder.
fn node_name(path: &RulePath) -> Option<String> {
    let (_, [Part::Name(pieces)]) = path.node() else { return None };
    let name: Option<String> = pieces
        .iter()
        .map(|p| match p {
            Piece::Text(text) => Some(text.as_str()),
            Piece::Variable(v) => Some(v.name()),
            Piece::Wild(_) => None,
        })
        .collect();
    name.filter(|n| RelPath::new(n.as_str()).is_ok())
}

/// For which systems a rule holds: by what it says, and by where its folder can be.
fn families(rule: &FileRule, path: &RulePath) -> BTreeSet<Family> {
    [Family::Windows, Family::Linux]
        .into_iter()
        .filter(|f| exists_on(path, *f))
        .filter(|f| rule.when.is_empty() || rule.when.iter().any(|c| os_fits(c.os.as_deref(), path, *f)))
        .collect()
}

/// Whether a constraint's system is this one. DOS games run in an emulator anywhere, and keep their saves where they are
/// installed.
pub(crate) fn os_fits(os: Option<&str>, path: &RulePath, family: Family) -> bool {
    match os {
        None => true,
        Some("windows") => family == Family::Windows,
        Some("linux") => family == Family::Linux,
        Some("dos") => matches!(path.anchor, Placeholder::Base | Placeholder::Root),
        Some(_) => false,
    }
}

fn exists_on(path: &RulePath, family: Family) -> bool {
    let first = path.parts.first().and_then(Part::as_text).unwrap_or_default().to_lowercase();
    match path.anchor {
        Placeholder::XdgData | Placeholder::XdgConfig => family == Family::Linux,
        // These are folders that macOS and Windows have in every home.
        Placeholder::Home if first == "library" => false,
        Placeholder::Home if first == "appdata" => family == Family::Windows,
        Placeholder::Home | Placeholder::Root | Placeholder::Base => true,
        _ => family == Family::Windows,
    }
}

/// Which path for Linux is which path for Windows, by their places in the list.
fn counterparts(all: &[Labelled<'_>]) -> Vec<(usize, usize)> {
    let tails: Vec<Vec<String>> = all.iter().map(|l| l.path.tail()).collect();
    let mut pairs = Vec::new();
    for purpose in [Purpose::Save, Purpose::Config, Purpose::Other] {
        let mut open: BTreeMap<Family, Vec<usize>> = BTreeMap::new();
        for (at, l) in all.iter().enumerate().filter(|(_, l)| l.rule.purpose() == purpose && l.families.len() == 1) {
            open.entry(*l.families.first().expect("BUG: one family was counted")).or_default().push(at);
        }
        let mut windows = open.remove(&Family::Windows).unwrap_or_default();
        let mut linux = open.remove(&Family::Linux).unwrap_or_default();
        // The same place but for what differs for every game, and nothing else that is.
        let alike = |a: usize, b: usize| tails[a] == tails[b] && same_shape(&all[a], &all[b]);
        let found: Vec<(usize, usize)> = linux
            .iter()
            .filter_map(|l| {
                let of_windows = only(windows.iter().copied().filter(|w| alike(*l, *w)), all)?;
                let back = only(linux.iter().copied().filter(|o| alike(of_windows, *o)), all)?;
                (back == *l).then_some((*l, of_windows))
            })
            .collect();
        windows.retain(|w| !found.iter().any(|(_, of)| of == w));
        linux.retain(|l| !found.iter().any(|(of, _)| of == l));
        pairs.extend(found);
        // One place is left for each system, and they end in the same name.
        let (last_windows, last_linux) = (only(windows.into_iter(), all), only(linux.into_iter(), all));
        if let (Some(w), Some(l)) = (last_windows, last_linux)
            && tails[w].last() == tails[l].last()
            && same_shape(&all[w], &all[l])
        {
            pairs.push((l, w));
        }
    }
    pairs
}

/// The one place among these, if they are one; spellings of one path count once.
fn only(mut found: impl Iterator<Item = usize>, all: &[Labelled<'_>]) -> Option<usize> {
    let first = found.next()?;
    found.all(|other| all[other].label == all[first].label).then_some(first)
}

/// Whether files have the same paths beneath both: the patterns are the same, or neither ends in one.
fn same_shape(a: &Labelled<'_>, b: &Labelled<'_>) -> bool {
    let ((_, a_node), (_, b_node)) = (a.path.node(), b.path.node());
    a.file.is_some() == b.file.is_some() && (a.file.is_some() || a_node == b_node)
}
