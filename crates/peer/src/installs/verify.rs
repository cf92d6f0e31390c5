//! Verifying an install: it is held against its record, and only what is missing or damaged is unpacked again.

use std::collections::BTreeMap;
use std::sync::Arc;

use bonfire_disk::install::{CheckedInstall, Finding, InstallError, Mended};
use bonfire_engine::event::VerifiedInstall;
use bonfire_engine::installs::Fault;
use bonfire_engine::snapshot::Phase;
use bonfire_proto::RelPath;
use bonfire_unpack::is_sayable;

use super::ending::Unfinished;
use super::{Installer, alone, ending, errors, payload};
use crate::download::{SPARE_BYTES, Stop, Work, no_space};

impl Installer {
    /// What an install is found to be, once what is missing or damaged in it was put back, and with `restore` what was
    /// changed, too. `None` where nothing is installed.
    pub(crate) async fn verify(&self, work: &Work, restore: bool) -> Result<Option<VerifiedInstall>, Stop> {
        work.phase(Phase::Checking).await;
        let (folder, game, cancel) = (self.world.folder.clone(), work.game.clone(), work.steer.cancel.clone());
        let check = move || folder.check_install(&game, &|_| !cancel.is_cancelled());
        let CheckedInstall { bytes, faults, .. } = match self.world.blocking.run(check).await? {
            Ok(Some(checked)) => checked,
            Ok(None) => return Ok(Some(VerifiedInstall::default())),
            Err(InstallError::NotInstalled { .. }) => return Ok(None),
            Err(error) => return Err(Stop::Failed(errors::install(&error))),
        };
        let (changed, mut wrong): (BTreeMap<_, _>, BTreeMap<_, _>) =
            faults.into_iter().partition(|(_, found)| found.fault == Fault::Changed);
        let changed_files = changed.keys().map(ToString::to_string).collect();
        if restore {
            wrong.extend(changed);
        }
        let repaired_files = wrong.keys().map(ToString::to_string).collect();
        let Mended { kept, .. } = if wrong.is_empty() { Mended::default() } else { self.mend(work, wrong).await? };
        let kept_files = kept.iter().map(ToString::to_string).collect();
        Ok(Some(VerifiedInstall { is_recorded: true, checked_bytes: bytes, repaired_files, changed_files, kept_files }))
    }

    /// Unpacks these files again, and puts them in their places.
    async fn mend(&self, work: &Work, wrong: BTreeMap<RelPath, Finding>) -> Result<Mended, Stop> {
        self.spare_players(&work.game).await?;
        let mut payload = payload::look(work).await?;
        let only = asked(&wrong);
        payload.placed.retain(|file| wrong.contains_key(&file.path));
        let limit = if is_sayable(&only) {
            let needed = only.values().sum::<u64>().saturating_add(SPARE_BYTES);
            let folder = self.world.folder.clone();
            let free = work.blocking(move || folder.free_space()).await?;
            if free < needed {
                return Err(Stop::Failed(no_space(&work.game, needed, free, &self.world)));
            }
            // What is not written takes no room, and of what is no more is written.
            u64::MAX
        } else {
            // All of it comes out, and what is not asked for goes with the staging folder.
            let expected = self.expected(work, &payload).await?;
            self.check_space(work, &payload, expected).await?
        };
        payload.only = Some(only);
        let (folder, game) = (self.world.folder.clone(), work.game.clone());
        let begun = self.world.blocking.run(move || folder.begin_mend(&game)).await?;
        let staging = Arc::new(begun.map_err(|e| errors::install(&e))?);
        work.phase(Phase::Unpacking).await;
        let unpacked = async {
            let unpacked = self.unpack(work, &payload, &staging, limit).await?;
            // Minutes may lie between.
            self.spare_players(&work.game).await?;
            Ok::<_, Stop>(unpacked)
        };
        let unpacked = unpacked.await;
        let (staging, game) = (alone(staging).map_err(Unfinished::into_stop)?, work.game.clone());
        work.phase(Phase::Committing).await;
        let put = move || match unpacked {
            Ok(unpacked) => staging.mend(&unpacked, &wrong).map_err(|e| Stop::Failed(errors::mend(&e))),
            Err(why) => Err(ending::give_up(staging, &game, why).into_stop()),
        };
        self.world.blocking.run(put).await?
    }
}

/// What is asked of the archives: of each file no more than was installed. One that is longer now is of another version, and
/// nothing is put back from it.
fn asked(wrong: &BTreeMap<RelPath, Finding>) -> BTreeMap<RelPath, u64> {
    wrong.iter().map(|(path, found)| (path.clone(), found.size)).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

    use super::*;

    #[test]
    fn a_repair_takes_no_more_of_a_file_than_was_installed() {
        let path = RelPath::new("data/maps.wad").unwrap();
        let finding = Finding { fault: Fault::Missing, size: 300, seen: None };
        assert_eq!(asked(&BTreeMap::from([(path.clone(), finding)])), BTreeMap::from([(path, 300)]));
    }
}
