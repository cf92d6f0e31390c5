//! Which files differ between two versions: `bonfire saves compare`, and for the sides of a conflict. Which version is right
//! it does not say.

use bonfire_engine::command::{Reply, SaveRef, SavesCommand};
use bonfire_engine::saves::compare::{Comparison, FileDifference};
use bonfire_engine::saves_view::SlotView;
use bonfire_engine::{ErrorClass, Report};
use bonfire_proto::SnapshotId;

use super::conflict::{Conflict, Whose};
use crate::args::saves::Which;
use crate::cmds::asker::{Asker, exactly, unfit};
use crate::exit::{Exit, Failure};
use crate::render::{brief, count, shown, size};

/// Most files of a side that are shown in a conflict; all are with `bonfire saves compare`, and with `--json`.
const SHOWN_MAX: usize = 8;

pub(super) async fn compare(
    asker: &mut Asker<'_>,
    which: &Which,
    from: &str,
    to: Option<&str>,
) -> Result<Exit, Failure> {
    let at = asker.at(which).await?;
    let from = asker.version(&at, from).await?;
    let to = match to {
        Some(to) => asker.version(&at, to).await?,
        None => newest(asker, &at).await?,
    };
    let reply = asker.saves(&at.game, SavesCommand::Compare { at: at.clone(), from, to }).await?;
    let Reply::Compared { comparison, .. } = &reply else { return Err(unfit(&reply)) };
    if asker.out.is_json() {
        asker.out.json(&reply)?;
    } else {
        asker.out.text(&format!("from version {} to {}: {}", brief(&from), brief(&to), sum(comparison)))?;
        lines(comparison, usize::MAX).iter().try_for_each(|line| asker.out.text(&format!("  {line}")))?;
    }
    Ok(Exit::Done)
}

async fn newest(asker: &mut Asker<'_>, at: &SaveRef) -> Result<SnapshotId, Failure> {
    let history = asker.history(at).await?;
    let newest = history.iter().find(|v| v.is_head && v.is_stored).or_else(|| history.iter().find(|v| v.is_stored));
    let none = || Report::new(ErrorClass::NotFound, "no_version", format!("no version of {} is stored here", at.game));
    Ok(newest.ok_or_else(none)?.id)
}

/// The conflict of a slot, with the files in which each other side differs from what is here. What is not stored here yet is
/// a side without files.
///
/// # Errors
/// The peer's.
pub(super) async fn with_files(asker: &mut Asker<'_>, slot: &SlotView) -> Result<Conflict, Failure> {
    let at = exactly(slot);
    let history = asker.history(&at).await?;
    let is_stored = |id: &SnapshotId| history.iter().any(|v| v.id == *id && v.is_stored);
    let mut conflict = Conflict::new(slot, &history);
    let Some(mine) = slot.base.filter(is_stored) else { return Ok(conflict) };
    for side in conflict.sides.iter_mut().filter(|s| s.side == Whose::Theirs) {
        let Some(theirs) = side.id.filter(is_stored) else { continue };
        let compare = SavesCommand::Compare { at: at.clone(), from: mine, to: theirs };
        match asker.saves(&slot.game, compare).await? {
            Reply::Compared { comparison, .. } => side.compared = Some(comparison),
            other => return Err(unfit(&other)),
        }
    }
    Ok(conflict)
}

/// `2 files differ, 1 is only in the second, 7 are the same`.
fn sum(comparison: &Comparison) -> String {
    if comparison.files.is_empty() {
        return format!("no file differs, {} the same", are(comparison.same));
    }
    let of = |wanted: fn(&FileDifference) -> bool| comparison.files.iter().filter(|f| wanted(f)).count() as u64;
    let changed = of(|f| f.before.is_some() && f.after.is_some());
    let (gone, new) = (of(|f| f.after.is_none()), of(|f| f.before.is_none()));
    let mut parts = Vec::new();
    let mut part = |n: u64, text: String| parts.extend((n > 0).then_some(text));
    part(changed, format!("{} {}", count(changed, "file"), if changed == 1 { "differs" } else { "differ" }));
    part(gone, format!("{} only in the first", are(gone)));
    part(new, format!("{} only in the second", are(new)));
    part(comparison.more, format!("{} more", comparison.more));
    part(comparison.same, format!("{} the same", are(comparison.same)));
    parts.join(", ")
}

fn are(n: u64) -> String {
    format!("{n} {}", if n == 1 { "is" } else { "are" })
}

/// The files that differ, one a line.
pub(super) fn lines(comparison: &Comparison, most: usize) -> Vec<String> {
    let mut lines: Vec<String> = comparison.files.iter().take(most).map(line).collect();
    let more = comparison.files.len().saturating_sub(most) as u64 + comparison.more;
    if more > 0 {
        lines.push(format!("and {}", count(more, "more file")));
    }
    lines
}

/// As many as a conflict shows.
pub(super) fn some_lines(comparison: &Comparison) -> Vec<String> {
    lines(comparison, SHOWN_MAX)
}

fn line(file: &FileDifference) -> String {
    let path = shown(file.path.as_str());
    match (file.before, file.after) {
        (Some(before), None) => format!("- {path} ({})", size(before)),
        (None, Some(after)) => format!("+ {path} ({})", size(after)),
        (Some(before), Some(after)) if before != after => format!("~ {path} ({}, then {})", size(before), size(after)),
        (_, after) => format!("~ {path} ({})", size(after.unwrap_or_default())),
    }
}

#[cfg(test)]
mod tests {
    use bonfire_proto::RelPath;

    use super::*;

    fn file(path: &str, before: Option<u64>, after: Option<u64>) -> FileDifference {
        FileDifference { path: RelPath::new(path).unwrap(), before, after }
    }

    #[test]
    fn a_comparison_is_summed_up_and_names_its_files() {
        let files = vec![
            file("save/a", Some(10), Some(2048)),
            file("save/b", Some(10), Some(10)),
            file("save/c", Some(1), None),
            file("save/d", None, Some(3)),
        ];
        let comparison = Comparison { files, more: 0, same: 1 };
        assert_eq!(sum(&comparison), "2 files differ, 1 is only in the first, 1 is only in the second, 1 is the same");
        assert_eq!(
            lines(&comparison, 9),
            ["~ save/a (10 B, then 2.0 KiB)", "~ save/b (10 B)", "- save/c (1 B)", "+ save/d (3 B)"]
        );
        assert_eq!(lines(&Comparison { more: 7, ..comparison }, 1)[1], "and 10 more files");
        assert_eq!(sum(&Comparison { same: 3, ..Comparison::default() }), "no file differs, 3 are the same");
    }
}
