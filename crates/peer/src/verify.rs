//! Reads a game again, compares it with what it was downloaded as, and fetches only the bad chunks anew.

use std::collections::BTreeMap;

use bonfire_disk::{FileStamp, HashError};
use bonfire_engine::input::OpOutcome;
use bonfire_engine::snapshot::Phase;
use bonfire_engine::{ErrorClass, Report};
use bonfire_proto::{GameId, Manifest, ManifestFile};
use tokio::sync::mpsc;

use crate::download::{Steer, Stop, Work, finish, unsteered};
use crate::errors;
use crate::installs::Installer;
use crate::task::Event;

struct Checked {
    expected: Manifest,
    bytes: u64,
    bad: Vec<String>,
}

/// Verifies a game and tells the engine how it ended.
pub(crate) async fn run(installer: Installer, steer: Steer, game: GameId, restore: bool, events: mpsc::Sender<Event>) {
    let (world, index) = (installer.world.clone(), installer.index.clone());
    let mut work = Work { world, index, steer, events: events.clone(), game, download: None };
    let op = work.steer.op;
    let stop = work.steer.stop.clone();
    let ended = tokio::select! {
        biased;
        ended = both(&mut work, &installer, restore) => ended,
        () = stop.cancelled() => Err(Stop::Failed(unsteered())),
    };
    let outcome = match ended {
        Ok(outcome) => outcome,
        // Reading changes nothing. A repair that was stopped is kept: `get` goes on with it, `cancel` sweeps it.
        Err(Stop::Cancelled) => {
            let error = Report::new(ErrorClass::Cancelled, "cancelled", format!("verifying {} was stopped", work.game));
            OpOutcome::Failed { error, resumable: work.suspend().await }
        }
        Err(Stop::Failed(error) | Stop::Anew(error)) => OpOutcome::Failed { error, resumable: work.suspend().await },
    };
    finish(&events, op, outcome).await;
}

/// What is downloaded, and then what was installed from it.
async fn both(work: &mut Work, installer: &Installer, restore: bool) -> Result<OpOutcome, Stop> {
    let mut outcome = verify(work).await?;
    if let OpOutcome::Verified { install, .. } = &mut outcome {
        *install = installer.verify(work, restore).await?;
    }
    Ok(outcome)
}

async fn verify(work: &mut Work) -> Result<OpOutcome, Stop> {
    let checked = check(work).await?;
    if checked.bad.is_empty() {
        return Ok(OpOutcome::Verified { checked: checked.bytes, bad: checked.bad, repaired: 0, install: None });
    }
    if work.steer.sources.borrow().is_empty() {
        let error = Report::new(
            ErrorClass::Remote,
            "bad_files",
            format!(
                "{} files of {} are not as downloaded ({}), and nobody connected holds that content",
                checked.bad.len(),
                work.game,
                checked.bad.iter().take(3).cloned().collect::<Vec<_>>().join(", "),
            ),
        )
        .hint("verify again when a peer with the same version is in the room");
        return Err(Stop::Failed(error));
    }
    work.begin(checked.expected).await?;
    let fetched = work.transfer(None).await?;
    Ok(OpOutcome::Verified { checked: checked.bytes, bad: checked.bad, repaired: fetched.fetched, install: None })
}

/// Reads every file and names those that differ.
async fn check(work: &mut Work) -> Result<Checked, Stop> {
    work.phase(Phase::Checking).await;
    let (index, game) = (work.index.clone(), work.game.clone());
    let expected = work.blocking_report(move || index.downloaded_as(&game)).await?;
    let (folder, game) = (work.world.folder.clone(), work.game.clone());
    let walked = work.blocking(move || folder.walk(&game)).await?;
    // Another version was put there since: it is held against itself.
    let expected = match expected.filter(|m| m.eti_version == walked.eti_version) {
        Some(manifest) => manifest,
        None => as_first_read(work).await?,
    };
    work.steer.progress.set_total(expected.size());
    let mut bad = Vec::new();
    let mut bytes = 0;
    let stamps: BTreeMap<_, _> = walked.files.iter().map(|f| (f.path.clone(), f.stamp())).collect();
    for entry in &expected.files {
        if work.steer.cancel.is_cancelled() {
            return Err(Stop::Cancelled);
        }
        if !is_right(work, entry, stamps.get(&entry.path)).await? {
            bad.push(entry.path.to_string());
        }
        bytes += entry.size;
        work.steer.progress.set_done(bytes);
    }
    Ok(Checked { expected, bytes, bad })
}

/// What a game that was not downloaded by Bonfire is held against: its files as they were when first hashed.
async fn as_first_read(work: &Work) -> Result<Manifest, Stop> {
    let (index, game) = (work.index.clone(), work.game.clone());
    let rows = work.blocking_report(move || index.files(&game)).await?;
    let files: Vec<ManifestFile> =
        rows.into_iter().map(|r| ManifestFile { path: r.path, size: r.size, blake3: r.blake3 }).collect();
    Ok(Manifest::new(work.game.clone(), String::new(), files))
}

async fn is_right(work: &Work, entry: &ManifestFile, stamp: Option<&FileStamp>) -> Result<bool, Stop> {
    let Some(stamp) = stamp.filter(|s| s.size == entry.size).cloned() else { return Ok(false) };
    let (folder, game, path) = (work.world.folder.clone(), work.game.clone(), entry.path.clone());
    let cancel = work.steer.cancel.clone();
    let blake3 = entry.blake3;
    let read =
        work.world.blocking.run(move || folder.hash_file(&game, &path, &stamp, &|_| !cancel.is_cancelled())).await?;
    match read {
        // A file that was never hashed has nothing to differ from; reading it whole is all that can be asked.
        Ok(hashed) => Ok(blake3.is_none_or(|b| b == hashed.blake3)),
        Err(HashError::Cancelled) => Err(Stop::Cancelled),
        Err(HashError::Changed { .. }) => Ok(false),
        Err(HashError::Disk(e)) => Err(Stop::Failed(errors::disk(&e))),
    }
}
