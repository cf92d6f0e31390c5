//! The recovery tables of `docs/formats/disk.md` say what the code does, in every state.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use bonfire_engine::recovery::Intent;
use bonfire_engine::recovery::installs::{LocalState, Observed, ScratchState, Steps, decide};

const HEAD: &str = "| intent | `local/` | `.local.installing/` | `.local.backup/` | what is done |";

struct Row {
    cells: Vec<String>,
    uses: usize,
}

fn rows(page: &str) -> Vec<Row> {
    let after = page.split_once(HEAD).unwrap().1;
    let lines = after.lines().skip(2).take_while(|line| line.starts_with('|'));
    lines
        .map(|line| {
            let cells: Vec<String> = line.trim_matches('|').split('|').map(|c| c.trim().to_owned()).collect();
            assert_eq!(cells.len(), 5, "{line}");
            Row { cells, uses: 0 }
        })
        .collect()
}

fn is_intent(cell: &str, intent: Intent) -> bool {
    let name = if intent == Intent::Unreadable { "unreadable".to_owned() } else { format!("{intent:?}") };
    cell == "any" || cell.split(", ").any(|one| one == name)
}

fn is_local(cell: &str, state: LocalState) -> bool {
    match cell {
        "any" => true,
        "absent" => state == LocalState::Absent,
        "folder" => state == LocalState::Folder,
        "doomed" => state == LocalState::Doomed,
        "other" => state == LocalState::Other,
        _ => panic!("{cell}"),
    }
}

fn is_scratch(cell: &str, state: ScratchState) -> bool {
    match cell {
        "any" => true,
        "absent" => state == ScratchState::Absent,
        "other" => state == ScratchState::Other,
        "doomed" => state == ScratchState::Doomed,
        "marked" => matches!(state, ScratchState::Marked | ScratchState::Doomed),
        "folder" => !matches!(state, ScratchState::Absent | ScratchState::Other),
        _ => panic!("{cell}"),
    }
}

fn steps(cell: &str) -> Option<Steps> {
    let mut steps = Steps::default();
    for step in cell.split(", ") {
        match step {
            "report" => return None,
            "nothing" => {}
            "restore backup" => steps.restores_backup = true,
            "sweep staging" => steps.sweeps_staging = true,
            "sweep backup" => steps.sweeps_backup = true,
            "drop intent" => steps.drops_intent = true,
            _ => panic!("{step}"),
        }
    }
    Some(steps)
}

#[test]
fn the_table_of_installs_says_what_is_done_in_every_state_and_has_no_row_too_many() {
    let page = include_str!("../../../docs/formats/disk.md");
    let mut rows = rows(page);
    let mut states = 0;
    for intent in Intent::ALL {
        for seen in Observed::all() {
            let fits = |row: &&mut Row| {
                is_intent(&row.cells[0], intent)
                    && is_local(&row.cells[1], seen.local)
                    && is_scratch(&row.cells[2], seen.staging)
                    && is_scratch(&row.cells[3], seen.backup)
            };
            let row = rows.iter_mut().find(fits).unwrap_or_else(|| panic!("no row for {intent:?} {seen:?}"));
            row.uses += 1;
            assert_eq!(steps(&row.cells[4]), decide(intent, seen).ok(), "{intent:?} {seen:?}: {:?}", row.cells);
            states += 1;
        }
    }
    assert_eq!(states, 600);
    for row in &rows {
        assert!(row.uses > 0, "no state fits {:?}", row.cells);
    }
}
