//! Whether the roots of a save set keep apart: from Bonfire's own data, and from each other, so that no file is two roots'.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use bonfire_engine::places::pattern::{Pattern, Segment, Token};
use bonfire_proto::rel_path::fold;

use super::{Place, Unfit};
use crate::platform::NAMES_ARE_FOLDED;

impl Place {
    pub(super) fn clash_with_data(&self, data: &Path) -> Option<Unfit> {
        let (place, data) = (comparable(&self.whole()), comparable(data));
        if place.starts_with(&data) {
            Some(Unfit::InData)
        } else if data.starts_with(&place) {
            Some(Unfit::HoldsData)
        } else {
            None
        }
    }

    pub(super) fn clash_with(&self, others: &[Self]) -> Option<Unfit> {
        let mine = comparable(&self.whole());
        others.iter().find_map(|other| {
            let theirs = comparable(&other.whole());
            if other.label == self.label {
                Some(Unfit::SameLabel)
            } else {
                let meet = mine.starts_with(&theirs) || theirs.starts_with(&mine);
                let is_apart = self.is_other || other.is_other || self.leaves_alone(other) || other.leaves_alone(self);
                (meet && !is_apart).then(|| Unfit::Within(other.label.clone()))
            }
        })
    }

    /// Whether what this root excludes is all that the other one has.
    fn leaves_alone(&self, other: &Self) -> bool {
        let (mine, theirs) = (self.folder.whole(), other.folder.whole());
        let Ok(between) = theirs.strip_prefix(&mine) else { return false };
        let names: Option<Vec<&str>> = between.iter().map(OsStr::to_str).collect();
        let Some(names) = names else { return false };
        let above: Vec<Segment> = names.into_iter().map(Segment::literal).collect();
        let everything = [Pattern::new(vec![Segment::Name(vec![Token::Many])])];
        let theirs: Vec<&Pattern> = if other.include.is_empty() {
            everything.iter().flatten().collect()
        } else {
            other.include.iter().collect()
        };
        let excludes = |segments: Vec<Segment>| Pattern::new(segments).is_ok_and(|p| self.extent.exclude.contains(&p));
        // What counts case excludes less than what does not includes.
        let counts_less = self.extent.folds_names || !other.extent.folds_names;
        excludes(above.clone()) || counts_less && theirs.iter().all(|p| excludes([&above[..], p.segments()].concat()))
    }
}

/// A path as the file systems that are usual on this platform tell paths apart.
fn comparable(path: &Path) -> PathBuf {
    if NAMES_ARE_FOLDED { PathBuf::from(fold(&path.to_string_lossy())) } else { path.to_owned() }
}
