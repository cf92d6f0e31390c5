use bonfire_engine::saves::slot::Standing;
use bonfire_engine::saves_view::{SlotView, VersionView};
use bonfire_proto::SnapshotKind;

use super::{SlotSummary, elsewhere, history, list_row, notes, slot_line, sorted, summary};
use crate::args::saves::OrderBy;
use crate::cmds::saves::made_up::{NOW, slot, version};

fn lines(table: &str) -> Vec<&str> {
    table.lines().collect()
}

#[test]
fn a_history_shows_twelve_digits_where_when_and_what_a_version_is() {
    let newest =
        VersionView { is_head: true, is_base: true, note: Some("before the boss".to_owned()), ..version("3f9a") };
    let gone = VersionView {
        kind: SnapshotKind::Tombstone,
        files: 0,
        size: 0,
        is_stored: false,
        device_name: String::new(),
        ..version("77c0")
    };
    let table = history(&[newest, gone], NOW);
    let lines = lines(&table);
    assert_eq!(
        lines[0],
        "VERSION       WHEN (UTC)           AGE        BY        KIND     PLAYED  FILES     SIZE  STATE                 NOTE"
    );
    assert_eq!(
        lines[1],
        "3f9a00000000  2025-12-31 23:59:00  1 min ago  tower     save          -      3  2.0 KiB  newest, on this disk  before the boss"
    );
    assert!(lines[2].contains("  00000000  deleted       -      0      0 B  not stored here"), "{}", lines[2]);
}

#[test]
fn text_of_other_devices_cannot_drive_the_terminal() {
    let nasty = VersionView {
        device_name: "\u{1b}[31mred\u{202e}".to_owned(),
        note: Some("two\nlines".to_owned()),
        ..version("3f9a")
    };
    let table = history(&[nasty], NOW);
    assert_eq!(lines(&table).len(), 2);
    assert!(!table.contains('\u{1b}') && !table.contains('\u{202e}') && table.contains("twolines"));
}

#[test]
fn a_history_is_sorted_by_what_is_asked_for_and_newest_first_within_it() {
    let of = |start: &str, size, by: &str| VersionView { size, device_name: by.to_owned(), ..version(start) };
    let versions = vec![of("c", 10, "tower"), of("b", 30, "deck"), of("a", 20, "tower")];
    let order = |by, limit| -> Vec<String> {
        sorted(versions.clone(), by, limit).iter().map(|v| v.id.to_string()[..1].to_owned()).collect()
    };
    assert_eq!(order(OrderBy::Time, None), ["c", "b", "a"]);
    assert_eq!(order(OrderBy::Size, None), ["b", "a", "c"]);
    assert_eq!(order(OrderBy::Device, None), ["b", "c", "a"]);
    assert_eq!(order(OrderBy::Size, Some(1)), ["b"]);
}

#[test]
fn a_list_says_who_holds_the_newest_version() {
    let base = VersionView { is_head: true, is_base: true, ..version("3f9a") };
    let row = list_row(&slot(Standing::Ahead, &[base]), NOW);
    assert_eq!(row, ["quake", "main", "others are behind", "1 min ago", "tower", "2.0 KiB", "1", "1 of 2"]);
}

#[test]
fn a_slot_without_a_version_is_shown_too() {
    let empty = slot(Standing::Unknown, &[]);
    assert_eq!(list_row(&empty, NOW)[3..6], ["-", "-", "-"]);
    assert_eq!(slot_line(&empty, NOW), "not looked at yet: no version yet");
}

#[test]
fn one_line_says_how_a_slot_stands() {
    let base = VersionView { is_head: true, is_base: true, ..version("3f9a") };
    assert_eq!(
        slot_line(&slot(Standing::Current, &[base]), NOW),
        "in step: version 3f9a00000000 of 1 min ago from tower, 3 files, 2.0 KiB, held by 1 of 2 devices"
    );
}

#[test]
fn who_has_to_answer_is_told_with_what() {
    let base = VersionView { is_base: true, ..version("3f9a") };
    let held = notes(&slot(Standing::Held, std::slice::from_ref(&base)));
    assert!(held[0].contains("bonfire saves release quake --restore"), "{held:?}");
    let conflict = notes(&slot(Standing::Conflict, &[base, version("77c0")]));
    assert!(conflict[0].starts_with("quake main: 2 versions differ"), "{conflict:?}");
    assert!(notes(&slot(Standing::Current, &[])).is_empty());
}

#[test]
fn saves_that_are_kept_and_lie_nowhere_here_are_told_of_once() {
    let view = |game: &str, is_here, stored| {
        let game = bonfire_proto::GameId::new(game).unwrap();
        SlotView { game, is_here, stored, ..slot(Standing::Untracked, &[]) }.into()
    };
    let views: [std::sync::Arc<SlotView>; 4] =
        [view("quake", true, 3), view("quake", false, 2), view("doom", false, 5), view("hexen", false, 0)];
    let told = elsewhere(&views.iter().collect::<Vec<_>>()).unwrap();
    assert!(told.starts_with("1 game has versions here") && told.contains("bonfire saves add"), "{told}");
    assert_eq!(elsewhere(&[&views[0], &views[1]]), None);
}

#[test]
fn a_summary_counts_every_version_and_shows_the_latest() {
    let latest = VersionView { is_head: true, is_base: true, ..version("3f9a") };
    let view = slot(Standing::Current, std::slice::from_ref(&latest));
    let slots = [(&view, SlotSummary::new(&view, &[latest, version("77c0")]))];
    let table = summary(&slots, NOW);
    assert_eq!(
        lines(&table),
        [
            "SLOT  VERSIONS  ALL OF THEM  LATEST        AGE        BY     FILES     SIZE  STATE",
            "main         2      4.0 KiB  3f9a00000000  1 min ago  tower      3  2.0 KiB  in step",
        ]
    );
}
