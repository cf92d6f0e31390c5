//! Verifying an install: it is held against its record, and only what is missing or damaged is unpacked again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bonfire_disk::install::{CheckedInstall, Finding, InstallError, Mended};
use bonfire_engine::event::VerifiedInstall;
use bonfire_engine::installs::Fault;
use bonfire_engine::snapshot::Phase;
use bonfire_proto::RelPath;

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
        payload.only = Some(wrong.keys().cloned().collect::<BTreeSet<_>>());
        payload.placed.retain(|file| wrong.contains_key(&file.path));
        let folder = self.world.folder.clone();
        let free = work.blocking(move || folder.free_space()).await?.saturating_sub(SPARE_BYTES);
        if free < payload.placed_bytes() {
            return Err(Stop::Failed(no_space(&work.game, payload.placed_bytes(), free, &self.world)));
        }
        let (folder, game) = (self.world.folder.clone(), work.game.clone());
        let begun = self.world.blocking.run(move || folder.begin_mend(&game)).await?;
        let staging = Arc::new(begun.map_err(|e| errors::install(&e))?);
        work.phase(Phase::Unpacking).await;
        let unpacked = self.unpack(work, &payload, &staging, u64::MAX).await;
        let (staging, game) = (alone(staging).map_err(Unfinished::into_stop)?, work.game.clone());
        work.phase(Phase::Committing).await;
        let put = move || match unpacked {
            Ok(unpacked) => staging.mend(&unpacked, &wrong).map_err(|e| Stop::Failed(errors::mend(&e))),
            Err(why) => Err(ending::give_up(staging, &game, why).into_stop()),
        };
        self.world.blocking.run(put).await?
    }
}
