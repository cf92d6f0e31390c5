use super::*;

fn all() -> impl Iterator<Item = (Intent, JournalState, SentinelState)> {
    Intent::ALL.into_iter().flat_map(|i| {
        JournalState::ALL.into_iter().flat_map(move |j| SentinelState::ALL.into_iter().map(move |s| (i, j, s)))
    })
}

fn removes_payload(action: Action) -> bool {
    matches!(action, Action::FinishCancel | Action::SweepByIntent)
}

#[test]
fn every_state_has_an_action_and_the_counts_are_known() {
    let mut counts = std::collections::BTreeMap::new();
    for (i, j, s) in all() {
        *counts.entry(decide(i, j, s)).or_insert(0u32) += 1;
    }
    assert_eq!(counts.values().sum::<u32>(), 144);
    assert_eq!(counts[&Action::LeaveToInstaller], 63, "three foreign intents, seven journals, three sentinels");
    assert_eq!(counts[&Action::SweepByIntent], 2);
    assert_eq!(counts[&Action::FinishCancel], 4);
    assert_eq!(counts[&Action::FinishCommit], 2);
    assert_eq!(counts[&Action::SweepScratch], 3);
}

#[test]
fn payload_is_swept_only_with_proof_of_a_cancel_or_of_a_download_without_journal() {
    for (i, j, s) in all().filter(|(i, j, s)| removes_payload(decide(*i, *j, *s))) {
        let cancelled = j == JournalState::Cancelled;
        let lost_journal = i == Intent::Downloading
            && matches!(j, JournalState::Absent | JournalState::Damaged)
            && s == SentinelState::Absent;
        assert!(cancelled || lost_journal, "{i:?} {j:?} {s:?}");
    }
}

#[test]
fn roots_of_installs_and_of_things_not_understood_are_never_changed() {
    for (i, j, s) in all() {
        let action = decide(i, j, s);
        if matches!(i, Intent::Installing | Intent::Updating | Intent::Uninstalling | Intent::Unreadable)
            || j == JournalState::Unknown
        {
            assert!(matches!(action, Action::TouchNothing | Action::LeaveToInstaller), "{i:?} {j:?} {s:?}");
        }
    }
}

#[test]
fn a_sentinel_that_is_no_file_is_never_swept_over() {
    for (i, j, s) in all().filter(|(_, _, s)| *s == SentinelState::NotRegular) {
        assert!(!removes_payload(decide(i, j, s)), "{i:?} {j:?}");
    }
}

#[test]
fn a_commit_is_finished_only_when_the_journal_says_that_every_byte_is_durable() {
    for (i, j, s) in all().filter(|(i, j, s)| decide(*i, *j, *s) == Action::FinishCommit) {
        assert_eq!((j, s), (JournalState::Committing, SentinelState::Absent), "{i:?}");
    }
}

#[test]
fn a_complete_version_is_never_resumed_after_its_commit() {
    for i in [Intent::None, Intent::Downloading] {
        assert_eq!(decide(i, JournalState::Committing, SentinelState::Regular), Action::DropRecords);
    }
}

#[test]
fn a_download_cut_short_goes_on() {
    for j in [JournalState::Prepared, JournalState::Active] {
        assert_eq!(decide(Intent::Downloading, j, SentinelState::Absent), Action::Resume);
        assert_eq!(decide(Intent::Downloading, j, SentinelState::Regular), Action::Resume);
    }
}
