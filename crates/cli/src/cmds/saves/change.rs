//! What changes something about a slot: asks for it, says how the slot stands now, and shows the versions that were in the
//! way when it is refused.

use bonfire_engine::command::{Reply, SaveRef, SavesCommand};
use bonfire_engine::saves::slot::Standing;
use bonfire_engine::saves_view::SlotView;
use bonfire_engine::{ErrorClass, Report};
use serde_json::json;

use super::compare::with_files;
use super::show::{notes, slot_line, title};
use crate::cmds::asker::{Asker, unfit};
use crate::cmds::find;
use crate::exit::{Exit, Failure};
use crate::render::Tone;
use crate::when;

/// Asks for a change whose answer is the slot, and shows that. A slot that is left in a conflict or held is a refusal.
///
/// # Errors
/// As for `Asker::saves`.
pub(super) async fn changed(asker: &mut Asker<'_>, at: &SaveRef, command: SavesCommand) -> Result<Exit, Failure> {
    let reply = match asker.saves(&at.game, command).await {
        Ok(reply) => reply,
        Err(failure) => return Err(explained(asker, at, failure).await),
    };
    let out = asker.out;
    if out.is_json() {
        out.json(&json!({ "result": reply }))?;
    }
    match &reply {
        Reply::Save { slot } => {
            let tone = if is_open(slot) { Tone::Plain } else { Tone::Good };
            out.marked(tone, &format!("{}:", crate::render::shown(&title(slot))), &slot_line(slot, when::now()))?;
            match open_question(slot) {
                Some(report) => Err(report.into()),
                None => {
                    if !out.is_json() {
                        notes(slot).iter().for_each(|note| out.talk(note));
                    }
                    Ok(Exit::Done)
                }
            }
        }
        Reply::Done => {
            out.marked(Tone::Good, at.game.as_str(), "done")?;
            Ok(Exit::Done)
        }
        other => Err(unfit(other)),
    }
}

/// Asks for a change that has no other answer than that it is done.
///
/// # Errors
/// As for `Asker::saves`.
pub(super) async fn done(
    asker: &mut Asker<'_>,
    at: &SaveRef,
    command: SavesCommand,
    text: &str,
) -> Result<Exit, Failure> {
    let reply = match asker.saves(&at.game, command).await {
        Ok(reply) => reply,
        Err(failure) => return Err(explained(asker, at, failure).await),
    };
    if asker.out.is_json() {
        asker.out.json(&json!({ "result": reply }))?;
    }
    let name = at.slot.as_ref().map_or_else(|| at.game.to_string(), |slot| format!("{} {slot}", at.game));
    asker.out.marked(Tone::Good, &name, text)?;
    Ok(Exit::Done)
}

/// Whether a person has to answer something about the slot.
pub(crate) fn is_open(slot: &SlotView) -> bool {
    matches!(slot.standing, Standing::Conflict | Standing::Held) && !slot.is_untracked
}

/// What a person has to answer, as a refusal.
pub(crate) fn open_question(slot: &SlotView) -> Option<Report> {
    if !is_open(slot) {
        return None;
    }
    let at = super::show::command_at(slot);
    let report = |code, message: String| Report::new(ErrorClass::Refused, code, message);
    Some(if slot.standing == Standing::Conflict {
        report("conflict", format!("{}: devices differ, and nothing was replaced", title(slot))).hint(format!(
            "compare with: bonfire saves conflicts; then: bonfire saves resolve {at} --mine | --theirs | --both | --use ID"
        ))
    } else {
        report("held", format!("{}: the save on the disk is missing, empty or much smaller than before", title(slot)))
            .hint(format!(
                "get it back with: bonfire saves release {at} --restore; if it is meant so: bonfire saves release {at} \
                 --keep-disk"
            ))
    })
}

/// Says a refusal in the words of the slot: shows the versions that it speaks of, so that a person can name them, and the
/// command that answers a held save.
async fn explained(asker: &mut Asker<'_>, at: &SaveRef, failure: Failure) -> Failure {
    let Failure::Report(report) = failure else { return failure };
    if !matches!(report.code.as_str(), "conflict" | "stale_conflict" | "held") {
        return report.into();
    }
    // What cannot be shown does not hide what was refused.
    let Ok(snapshot) = asker.snapshot().await else { return report.into() };
    let Some(slot) = find::slot(&snapshot, at) else { return report.into() };
    if report.code == "held" {
        return open_question(slot).unwrap_or(report).into();
    }
    let Ok(conflict) = with_files(asker, slot).await else { return report.into() };
    if asker.out.is_json() {
        return match asker.out.json(&json!({ "conflict": conflict })) {
            Ok(()) => report.into(),
            Err(closed) => closed,
        };
    }
    conflict.lines(when::now()).iter().for_each(|line| asker.out.talk(line));
    // The versions are in the table; the peer's message lists them once more for who has none.
    let message = if report.code == "conflict" {
        format!("{}: there are versions that this would hide", title(slot))
    } else {
        format!("{}: the newest versions are others than those that were named", title(slot))
    };
    Report { message, ..report }.into()
}

#[cfg(test)]
mod tests {
    use bonfire_engine::ErrorClass;
    use bonfire_engine::saves::slot::Standing;
    use bonfire_engine::saves_view::SlotView;

    use super::open_question;
    use crate::cmds::saves::made_up::slot;

    #[test]
    fn a_conflict_and_a_held_save_are_refusals_that_say_what_to_do() {
        for (standing, code, command) in [
            (Standing::Conflict, "conflict", "bonfire saves resolve quake --mine"),
            (Standing::Held, "held", "bonfire saves release quake --keep-disk"),
        ] {
            let report = open_question(&slot(standing, &[])).unwrap();
            assert_eq!((report.code.as_str(), report.class), (code, ErrorClass::Refused));
            assert!(report.hint.contains(command), "{}", report.hint);
        }
    }

    #[test]
    fn nothing_is_asked_about_a_slot_that_is_left_alone() {
        let untracked = SlotView { is_untracked: true, ..slot(Standing::Conflict, &[]) };
        assert!(open_question(&untracked).is_none());
        assert!(open_question(&slot(Standing::Working, &[])).is_none());
    }
}
