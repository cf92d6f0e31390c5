//! The file list of a snapshot that is too long to stand in it: one `SaveEntry` a line, cut into objects.

use bonfire_proto::limits::SAVE_FILES_MAX;
use bonfire_proto::save::SnapshotError;
use bonfire_proto::{ObjectRef, SaveEntry};

use super::chunking::{Cutter, LISTS};
use super::error::SaveError;

/// The list as text, each line ended by a line feed.
pub(super) fn lines(entries: &[SaveEntry]) -> Result<Vec<u8>, SaveError> {
    let mut out = Vec::new();
    for entry in entries {
        serde_json::to_writer(&mut out, entry).map_err(|e| SnapshotError::Json(e.to_string()))?;
        out.push(b'\n');
    }
    Ok(out)
}

/// Cuts the text of a list and has each piece put.
pub(super) fn cut(
    text: &[u8],
    mut put: impl FnMut(&[u8]) -> Result<ObjectRef, SaveError>,
) -> Result<Vec<ObjectRef>, SaveError> {
    let mut out = Vec::new();
    let mut take = |piece: &[u8]| {
        out.push(put(piece)?);
        Ok::<(), SaveError>(())
    };
    let mut cutter = Cutter::new(LISTS);
    cutter.push(text, &mut take)?;
    cutter.finish(&mut take)?;
    Ok(out)
}

/// Reads a list, piece by piece. Holds one piece and the entries so far; more entries than a save may have end it.
pub(super) fn read(
    list: &[ObjectRef],
    mut object: impl FnMut(&ObjectRef) -> Result<Vec<u8>, SaveError>,
) -> Result<Vec<SaveEntry>, SaveError> {
    let mut entries = Vec::new();
    let mut rest: Vec<u8> = Vec::new();
    for piece in list {
        for part in object(piece)?.split_inclusive(|b| *b == b'\n') {
            rest.extend_from_slice(part);
            if part.ends_with(b"\n") {
                entries.push(serde_json::from_slice(&rest).map_err(|e| SnapshotError::Json(e.to_string()))?);
                rest.clear();
                if entries.len() > SAVE_FILES_MAX {
                    return Err(SnapshotError::Field("files").into());
                }
            }
        }
    }
    // A line of many pieces is bounded by the pieces themselves: 64 GiB are a million of them.
    if rest.is_empty() { Ok(entries) } else { Err(SnapshotError::Json("the last line has no end".to_owned()).into()) }
}
