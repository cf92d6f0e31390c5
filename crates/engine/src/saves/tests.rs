//! Small snapshots for the tests of the rules.

use bonfire_proto::hlc::Hlc;
use bonfire_proto::save::{SnapshotKind, content_hash};
use bonfire_proto::{Digest, PeerId, SaveHash, SnapshotId};
use uuid::Uuid;

use super::lineage::{Lineage, Node};

/// A snapshot's id that sorts as its number.
pub(super) fn id(n: u64) -> SnapshotId {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&n.to_be_bytes());
    SnapshotId(Digest(bytes))
}

pub(super) fn device(n: u64) -> PeerId {
    PeerId::from_uuid(Uuid::from_u128(u128::from(n)))
}

/// Content number n; 0 is that of a save that was deleted.
pub(super) fn content(n: u8) -> SaveHash {
    if n == 0 { content_hash(&[]) } else { SaveHash(Digest([n; 32])) }
}

pub(super) fn ids(numbers: impl IntoIterator<Item = u64>) -> std::collections::BTreeSet<SnapshotId> {
    numbers.into_iter().map(id).collect()
}

/// Snapshot n, at time n, with content 1.
pub(super) fn node(n: u64, parents: &[u64]) -> Node {
    Node {
        id: id(n),
        parents: parents.iter().map(|p| id(*p)).collect(),
        content: content(1),
        kind: SnapshotKind::Save,
        hlc: Hlc { ms: n, count: 0, device: device(1) },
        device: device(1),
        created_at: n,
        files: 1,
        size: 100,
        played_ms: 0,
    }
}

pub(super) fn deletion(n: u64, parents: &[u64]) -> Node {
    Node { content: content(0), kind: SnapshotKind::Tombstone, files: 0, size: 0, ..node(n, parents) }
}

pub(super) fn lineage(nodes: impl IntoIterator<Item = Node>) -> Lineage {
    let mut lineage = Lineage::default();
    for node in nodes {
        lineage.insert(node);
    }
    lineage
}

/// 1 to n, each made from the one before.
pub(super) fn line(n: u64) -> impl DoubleEndedIterator<Item = Node> {
    (1..=n).map(|n| if n == 1 { node(1, &[]) } else { node(n, &[n - 1]) })
}
