//! What a slot does with a disk that lost much, or that cannot be read: it asks or waits, and nobody hears of a deletion.

use bonfire_engine::saves::decide::{Measure, is_shrunk};
use bonfire_engine::saves::slot::{Done, Look, Make, Slot, SlotRecord, Step};
use bonfire_engine::saves::{Node, Row};
use bonfire_proto::{Digest, Hlc, PeerId, SaveHash, SnapshotId, SnapshotKind};
use proptest::prelude::*;
use uuid::Uuid;

use crate::cases::holds;

fn node(n: u8, parents: &[u8], measure: Measure) -> Node {
    let device = PeerId::from_uuid(Uuid::from_u128(7));
    let id = |n: u8| SnapshotId(Digest([n; 32]));
    Node {
        id: id(n),
        parents: parents.iter().map(|p| id(*p)).collect(),
        content: SaveHash(Digest([n; 32])),
        kind: SnapshotKind::Save,
        played_ms: 0,
        hlc: Hlc { ms: u64::from(n), count: 0, device },
        device,
        created_at: u64::from(n),
        files: measure.files,
        size: measure.size,
    }
}

/// What is found in the folder, against what was there.
#[derive(Debug, Clone)]
enum Found {
    Missing,
    /// As many files, with so many bytes.
    Bytes(u64),
    /// So many files with half of the bytes or more.
    Files(u64),
    Unreadable,
    Settling,
}

fn found() -> impl Strategy<Value = Found> {
    prop_oneof![
        1 => Just(Found::Missing),
        4 => (0u64..2_000).prop_map(Found::Bytes),
        1 => (0u64..4).prop_map(Found::Files),
        1 => Just(Found::Unreadable),
        1 => Just(Found::Settling),
    ]
}

#[test]
fn p09_a_missing_empty_truncated_or_unreadable_folder_becomes_no_version_and_no_deletion() {
    const HELD: &str = "lost too much, and held";
    const WAITED: &str = "not readable, and waited for";
    const TAKEN: &str = "changed, and taken";
    let base = (1u64..4, 1u64..1_500).prop_map(|(files, size)| Measure { files, size });
    let drawn = (base, found(), 0u8..3, any::<bool>(), any::<bool>());
    let premises = [(HELD, 8), (WAITED, 15), (TAKEN, 25)];
    holds(drawn, &premises, |(base, found, others, is_running, is_asked_twice), met| {
        let (me, other) = (PeerId::from_uuid(Uuid::from_u128(1)), PeerId::from_uuid(Uuid::from_u128(2)));
        let record = SlotRecord { base: Some(node(1, &[], base).id), ..SlotRecord::default() };
        // Nobody else, one that went on, or one that began for itself.
        let theirs = [None, Some(node(2, &[1], base)), Some(node(2, &[], base))][usize::from(others)].clone();
        let stored = theirs.iter().cloned().chain([node(1, &[], base)]).map(|n| (n, true));
        let mut slot = Slot::restore(me, record, stored);
        slot.told(other, theirs.map(|n| n.id), []);
        slot.running(is_running);
        let measure = match found {
            Found::Missing => Some(Measure { files: 0, size: 0 }),
            Found::Bytes(size) => Some(Measure { size, ..base }),
            Found::Files(files) => Some(Measure { files, size: base.size.div_ceil(2) }),
            Found::Unreadable | Found::Settling => None,
        };
        let look = || match found {
            Found::Missing => Look::Nothing,
            Found::Unreadable => Look::Unreadable,
            Found::Settling => Look::Settling,
            Found::Bytes(_) | Found::Files(_) => {
                Look::Files { capture: 1, content: SaveHash(Digest([9; 32])), measure: measure.unwrap_or(base) }
            }
        };
        // From the definition: no file, no byte, or under half of the bytes.
        let has_lost = measure.is_some_and(|m| m.files == 0 || m.size == 0 || m.size * 2 < base.size);
        if measure.is_some_and(|m| is_shrunk(base, m) != has_lost) {
            return Err("the measure of a loss is another".to_owned());
        }
        let (mut has_made, mut looks) = (false, 0);
        while let Some(step) = slot.next_step() {
            match step {
                Step::Look => {
                    looks += 1;
                    slot.looked(look());
                    if looks == 1 && is_asked_twice {
                        slot.stirred();
                    }
                }
                Step::Make(Make::Version { .. }) => {
                    has_made = true;
                    slot.made(Done::Changed);
                    // Enough was seen.
                    break;
                }
                Step::Fetch(asked) => slot.fetched(&asked, [], asked.clone()),
                other => return Err(format!("it does {other:?}")),
            }
            if looks > 9 {
                return Err("it looks for ever".to_owned());
            }
        }
        let is_waiting = measure.is_none();
        met.note(HELD, has_lost && slot.row() == Some(Row::Shrunk));
        met.note(WAITED, is_waiting);
        met.note(TAKEN, has_made);
        match (has_lost || is_waiting, has_made) {
            (true, true) => Err("a version was made of it".to_owned()),
            (false, false) => Err("a real change was not taken".to_owned()),
            _ => Ok(()),
        }
    });
}
