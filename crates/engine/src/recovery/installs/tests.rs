use std::collections::BTreeSet;

use super::*;

fn all() -> impl Iterator<Item = (Intent, Observed)> {
    Intent::ALL.into_iter().flat_map(|intent| Observed::all().map(move |seen| (intent, seen)))
}

/// What the steps make of a root.
fn after(intent: Intent, seen: Observed, steps: Steps) -> (Intent, Observed) {
    let mut seen = seen;
    if steps.restores_backup {
        assert_eq!(seen.local, LocalState::Absent, "a rename onto something");
        (seen.local, seen.backup) = (LocalState::Folder, ScratchState::Absent);
    }
    if steps.sweeps_staging {
        seen.staging = ScratchState::Absent;
    }
    if steps.sweeps_backup {
        seen.backup = ScratchState::Absent;
    }
    (if steps.drops_intent { Intent::None } else { intent }, seen)
}

/// The steps one after the other, as a crash may cut them off: the root after each.
fn cut(intent: Intent, seen: Observed, steps: Steps) -> Vec<(Intent, Observed)> {
    let one = |f: fn(&mut Steps, bool)| {
        let mut only = Steps::default();
        f(&mut only, true);
        only
    };
    let parts = [
        (steps.restores_backup, one(|s, v| s.restores_backup = v)),
        (steps.sweeps_staging, one(|s, v| s.sweeps_staging = v)),
        (steps.sweeps_backup, one(|s, v| s.sweeps_backup = v)),
        (steps.drops_intent, one(|s, v| s.drops_intent = v)),
    ];
    let mut out = vec![(intent, seen)];
    for (is_taken, part) in parts {
        if is_taken {
            let (intent, seen) = *out.last().unwrap();
            // A folder is doomed before anything in it goes.
            let doomed = Observed {
                staging: if part.sweeps_staging { ScratchState::Doomed } else { seen.staging },
                backup: if part.sweeps_backup { ScratchState::Doomed } else { seen.backup },
                ..seen
            };
            out.push((intent, doomed));
            out.push(after(intent, doomed, part));
        }
    }
    out
}

#[test]
fn every_state_is_decided_and_the_counts_are_known() {
    let decided: Vec<_> = all().map(|(i, o)| decide(i, o)).collect();
    assert_eq!(decided.len(), 6 * 100);
    let riddles = |r: Riddle| decided.iter().filter(|d| **d == Err(r)).count();
    assert_eq!(riddles(Riddle::PartOfInstall), 2 * 2 * 5 * 2 + 4 * 2 + 4, "without intent, installing, updating");
    assert_eq!(riddles(Riddle::NoFolder), 3 * (75 - 2 * 4 * 4));
    assert_eq!(riddles(Riddle::DoomedInstall), 5 * 25);
    assert_eq!(riddles(Riddle::ThreeInstalls), 3 * 2);
}

#[test]
fn a_second_recovery_finds_nothing_to_do() {
    for (intent, seen) in all() {
        let Ok(steps) = decide(intent, seen) else { continue };
        let (intent, seen) = after(intent, seen, steps);
        assert_eq!(decide(intent, seen), Ok(Steps::default()), "{intent:?} {seen:?}");
    }
}

#[test]
fn a_recovery_that_is_cut_off_anywhere_ends_as_one_that_was_not() {
    for (intent, seen) in all() {
        let Ok(steps) = decide(intent, seen) else { continue };
        let end = after(intent, seen, steps);
        for (intent, seen) in cut(intent, seen, steps) {
            let again = decide(intent, seen).unwrap_or_else(|r| panic!("{r:?} at {intent:?} {seen:?}"));
            assert_eq!(after(intent, seen, again), end, "from {intent:?} {seen:?}");
        }
    }
}

#[test]
fn no_install_is_ever_deleted_but_for_one_that_took_its_place_or_an_uninstall() {
    for (intent, seen) in all() {
        let Ok(steps) = decide(intent, seen) else { continue };
        let is_whole = matches!(seen.backup, ScratchState::Unmarked | ScratchState::Marked);
        if steps.sweeps_backup && is_whole {
            assert!(intent == Intent::Uninstalling || seen.local == LocalState::Folder, "{intent:?} {seen:?}");
        }
    }
}

#[test]
fn without_an_intent_nothing_without_a_marker_is_touched() {
    for (intent, seen) in all().filter(|(i, _)| matches!(i, Intent::None | Intent::Downloading)) {
        let Ok(steps) = decide(intent, seen) else { continue };
        assert!(!steps.sweeps_staging || seen.staging.is_marked(), "{intent:?} {seen:?}");
        assert!(!steps.sweeps_backup || seen.backup.is_marked(), "{intent:?} {seen:?}");
        assert!(!steps.restores_backup && !steps.drops_intent, "{intent:?} {seen:?}");
    }
}

#[test]
fn what_is_no_folder_is_never_touched() {
    for (intent, seen) in all() {
        let Ok(steps) = decide(intent, seen) else { continue };
        assert!(!(steps.sweeps_staging && seen.staging == ScratchState::Other), "{intent:?} {seen:?}");
        assert!(!(steps.sweeps_backup && seen.backup == ScratchState::Other), "{intent:?} {seen:?}");
        assert!(!(steps.restores_backup && seen.backup == ScratchState::Other), "{intent:?} {seen:?}");
    }
}

#[test]
fn what_may_be_a_part_of_an_install_is_never_made_one() {
    for (intent, seen) in all() {
        let Ok(steps) = decide(intent, seen) else { continue };
        assert!(!(steps.restores_backup && seen.backup == ScratchState::Doomed), "{intent:?} {seen:?}");
        assert!(seen.local != LocalState::Doomed || intent == Intent::Unreadable, "{intent:?} {seen:?}");
    }
}

/// The transactions as they are carried out, state by state: a crash at each is recovered to the old or the new install.
#[test]
fn each_transaction_cut_off_anywhere_leaves_the_old_install_or_the_new_one() {
    use LocalState as L;
    use ScratchState as S;
    let at = |local, staging, backup| Observed { local, staging, backup };
    // What lies there, and what has to lie there after recovery.
    let install = [
        (Intent::None, at(L::Absent, S::Absent, S::Absent), L::Absent),
        (Intent::Installing, at(L::Absent, S::Absent, S::Absent), L::Absent),
        (Intent::Installing, at(L::Absent, S::Unmarked, S::Absent), L::Absent),
        (Intent::Installing, at(L::Absent, S::Marked, S::Absent), L::Absent),
        (Intent::Installing, at(L::Folder, S::Absent, S::Absent), L::Folder),
        (Intent::None, at(L::Folder, S::Absent, S::Absent), L::Folder),
    ];
    let update = [
        (Intent::Updating, at(L::Folder, S::Absent, S::Absent), L::Folder),
        (Intent::Updating, at(L::Folder, S::Unmarked, S::Absent), L::Folder),
        (Intent::Updating, at(L::Folder, S::Marked, S::Absent), L::Folder),
        (Intent::Updating, at(L::Absent, S::Unmarked, S::Unmarked), L::Folder),
        (Intent::Updating, at(L::Folder, S::Absent, S::Unmarked), L::Folder),
        (Intent::Updating, at(L::Folder, S::Absent, S::Doomed), L::Folder),
        (Intent::Updating, at(L::Folder, S::Absent, S::Absent), L::Folder),
    ];
    let uninstall = [
        (Intent::Updating, at(L::Folder, S::Marked, S::Absent), L::Folder),
        (Intent::Updating, at(L::Absent, S::Marked, S::Unmarked), L::Folder),
        (Intent::Uninstalling, at(L::Absent, S::Marked, S::Unmarked), L::Absent),
        (Intent::Uninstalling, at(L::Absent, S::Doomed, S::Unmarked), L::Absent),
        (Intent::Uninstalling, at(L::Absent, S::Absent, S::Unmarked), L::Absent),
        (Intent::Uninstalling, at(L::Absent, S::Absent, S::Doomed), L::Absent),
        (Intent::Uninstalling, at(L::Absent, S::Absent, S::Absent), L::Absent),
    ];
    let mut seen_ends = BTreeSet::new();
    for (intent, seen, local) in install.into_iter().chain(update).chain(uninstall) {
        let steps = decide(intent, seen).unwrap_or_else(|r| panic!("{r:?} at {intent:?} {seen:?}"));
        let (_, end) = after(intent, seen, steps);
        assert_eq!(end, at(local, S::Absent, S::Absent), "{intent:?} {seen:?}");
        seen_ends.insert(end);
    }
    assert_eq!(seen_ends.len(), 2);
}
