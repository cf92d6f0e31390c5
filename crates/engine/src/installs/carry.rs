//! What of an install is the player's own, and where it goes when a new version takes its place.
//!
//! Three trees are compared by content: what was installed, what lies there now, and what the new version brings. Nothing
//! that somebody made or changed is ever dropped. Where only the player changed a file, theirs stays in its place: an update
//! that brings the same file again has nothing to say about it. Where both did, the new one takes the place and theirs is
//! kept beside it, under a name that says so.

use std::collections::{BTreeMap, BTreeSet};

use bonfire_proto::limits::NAME_LEN_MAX;
use bonfire_proto::{Digest, RelPath};

/// Most names tried beside a file, before one at the top is.
const KEPT_MAX: u32 = 10_000;

/// What a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// Bytes.
    pub size: u64,
    /// BLAKE3 of them.
    pub blake3: Digest,
}

/// Whose a file of an install is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// It is as it was installed.
    Installed,
    /// It was installed, and holds something else now.
    Changed,
    /// It was not installed.
    Made,
    /// Nobody recorded what was installed here.
    Unrecorded,
}

/// Whose a file is: `record` is what was installed, `None` when nothing says so.
#[must_use]
pub fn origin(record: Option<&BTreeMap<RelPath, Known>>, path: &RelPath, now: &Known) -> Origin {
    match record.map(|r| r.get(path)) {
        None => Origin::Unrecorded,
        Some(None) => Origin::Made,
        Some(Some(was)) if was == now => Origin::Installed,
        Some(Some(_)) => Origin::Changed,
    }
}

/// Why a file was kept under another name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// The new version changed it as well.
    BothChanged,
    /// The new version brings a file of that name, which the player had made.
    NowInstalled,
    /// What was installed was not recorded, and the new version brings something else there.
    Unrecorded,
    /// The new version has a folder in its place, a file where a folder of its path was, or a name that some systems
    /// cannot tell from its.
    InTheWay,
}

/// One of the player's files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Carried {
    /// Where it lies now.
    pub from: RelPath,
    /// Where it goes in the new install.
    pub to: RelPath,
    /// Why it goes elsewhere; `None` when it stays in its place.
    pub kept: Option<Keep>,
}

/// What is carried from one install to the next.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Carry {
    /// The player's files, sorted by where they lie. One that stays in its place takes it from the new version's.
    pub files: Vec<Carried>,
}

/// What of `live` is carried into an install of `new`, where `record` was installed.
#[must_use]
pub fn carry(
    record: Option<&BTreeMap<RelPath, Known>>,
    live: &BTreeMap<RelPath, Known>,
    new: &BTreeMap<RelPath, Known>,
) -> Carry {
    let mut taken = Taken::of(new.keys());
    let mut beside = Vec::new();
    let mut out = Carry::default();
    for (path, now) in live {
        let origin = origin(record, path, now);
        let brought = new.get(path);
        if origin == Origin::Installed || brought == Some(now) {
            continue;
        }
        match brought {
            None if taken.take(path) => {
                out.files.push(Carried { from: path.clone(), to: path.clone(), kept: None });
            }
            None => beside.push((path, Keep::InTheWay)),
            // The new version brings what was installed before: only the player has something to say.
            Some(brought) if record.and_then(|r| r.get(path)) == Some(brought) => {
                out.files.push(Carried { from: path.clone(), to: path.clone(), kept: None });
            }
            Some(_) => beside.push((
                path,
                match origin {
                    Origin::Changed => Keep::BothChanged,
                    Origin::Unrecorded => Keep::Unrecorded,
                    Origin::Made | Origin::Installed => Keep::NowInstalled,
                },
            )),
        }
    }
    // Last, so that no name that somebody has is given away.
    for (path, why) in beside {
        let to = taken.beside(path);
        out.files.push(Carried { from: path.clone(), to, kept: Some(why) });
    }
    out.files.sort_by(|a, b| a.from.cmp(&b.from));
    out
}

/// Names that are in use, as the least able file system tells them apart.
pub(super) struct Taken {
    files: BTreeSet<String>,
    folders: BTreeSet<String>,
}

impl Taken {
    pub(super) fn of<'a>(paths: impl Iterator<Item = &'a RelPath>) -> Self {
        let mut taken = Self { files: BTreeSet::new(), folders: BTreeSet::new() };
        paths.for_each(|path| taken.add(path));
        taken
    }

    fn add(&mut self, path: &RelPath) {
        self.files.insert(path.folded());
        let above = std::iter::successors(path.parent(), RelPath::parent);
        self.folders.extend(above.map(|folder| folder.folded()));
    }

    /// Takes the path unless something is in its way.
    fn take(&mut self, path: &RelPath) -> bool {
        let name = path.folded();
        let mut above = std::iter::successors(path.parent(), RelPath::parent);
        let is_free = !self.files.contains(&name)
            && !self.folders.contains(&name)
            && above.all(|folder| !self.files.contains(&folder.folded()));
        if is_free {
            self.add(path);
        }
        is_free
    }

    /// A free name like this one: in its folder, or where that is in the way, beside what is.
    pub(super) fn beside(&mut self, path: &RelPath) -> RelPath {
        let names: Vec<&str> = path.parts().collect();
        let mut stem: Vec<String> = Vec::new();
        for (depth, name) in names.iter().enumerate() {
            let is_last = depth + 1 == names.len();
            stem.push((*name).to_owned());
            let so_far = RelPath::new(stem.join("/")).map(|p| p.folded());
            // A folder of the path that is a file now gets another name itself.
            if !is_last && so_far.is_ok_and(|p| self.files.contains(&p)) {
                let kept = suffixed(name, 1);
                stem.pop();
                stem.push(kept);
            }
        }
        let (last, folder) = stem.split_last().map(|(l, f)| (l.clone(), f.join("/"))).unwrap_or_default();
        // A path that is too long with it goes to the top.
        let in_folder = (1..=KEPT_MAX).map(|n| match &folder[..] {
            "" => suffixed(&last, n),
            folder => format!("{folder}/{}", suffixed(&last, n)),
        });
        let at_top = (1..).map(|n| suffixed(&last, n));
        let mut names = in_folder.chain(at_top).filter_map(|name| RelPath::new(name).ok());
        names.find(|path| self.take(path)).expect("BUG: there are more names than files")
    }
}

/// `NAME.kept`, `NAME.kept-2` and so on, no longer than a name may be.
fn suffixed(name: &str, n: u32) -> String {
    let suffix = if n == 1 { ".kept".to_owned() } else { format!(".kept-{n}") };
    let mut stem = name;
    while stem.len() + suffix.len() > NAME_LEN_MAX {
        let cut = stem.char_indices().next_back().map_or(0, |(at, _)| at);
        stem = &stem[..cut];
    }
    format!("{stem}{suffix}")
}

#[cfg(test)]
mod tests;
