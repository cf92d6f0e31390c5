//! The worker of pictures: reads, keeps, fetches, writes out and lets go of one when the engine says so, and says what came
//! of it. Believes no source and no file: bytes count when they have the hash that the record names.

use std::io;
use std::path::Path;
use std::sync::Arc;

use bonfire_disk::sidecars::{hand_out, read_given};
use bonfire_disk::{SidecarError, Sidecars};
use bonfire_engine::input::Input;
use bonfire_engine::sidecars::work::{Brought, HandedOut, Sidecar, SidecarInput, SidecarJob};
use bonfire_engine::{ErrorClass, Report};
use bonfire_net::{Connection, NetError};
use bonfire_proto::message::{Request, Response};
use bonfire_proto::message_sidecar::GetSidecar;
use bonfire_proto::{ErrorCode, PictureRef, PlayerId, SnapshotId};
use bytes::BytesMut;
use tokio::sync::mpsc;

use crate::blocking::Blocking;
use crate::conns;
use crate::errors;
use crate::saves::LiveSaves;
use crate::task::Event;

/// Room that a fetch leaves on the disk of the data folder: no save is to find it full because of a picture.
const ROOM_LEFT: u64 = 64 << 20;

/// The worker; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Pictures {
    disk: Sidecars,
    live: Arc<dyn LiveSaves>,
    blocking: Blocking,
}

impl Pictures {
    pub(crate) fn new(disk: Sidecars, live: Arc<dyn LiveSaves>, blocking: Blocking) -> Self {
        Self { disk, live, blocking }
    }

    /// Carries out a job and says what came of it. `source` is the connection to fetch over.
    pub(crate) async fn run(self, job: SidecarJob, source: Option<Connection>, events: mpsc::Sender<Event>) {
        if let Some(input) = self.carry_out(job, source).await {
            conns::send(&events, Event::Input(Input::Sidecar(input))).await;
        }
    }

    async fn carry_out(&self, job: SidecarJob, source: Option<Connection>) -> Option<SidecarInput> {
        Some(match job {
            SidecarJob::Attach { command, line, snapshot, file } => {
                let attached = self.on_disk(move |own| own.attach(snapshot, Path::new(&file))).await.and_then(|r| r);
                SidecarInput::Attached { command, line, snapshot, attached }
            }
            SidecarJob::HandOut { command, player, sidecar, file } => {
                let handed = self.on_disk(move |own| own.hand_out(&sidecar, Path::new(&file))).await;
                let handed = handed.unwrap_or_else(HandedOut::Failed);
                SidecarInput::HandedOut { command, player, sidecar, handed }
            }
            SidecarJob::Fetch { player, sidecar, from } => {
                let brought = match source {
                    Some(connection) => self.fetch(player, sidecar, &connection).await,
                    None => Brought::Cut,
                };
                SidecarInput::Fetched { player, sidecar, from: from.0, brought }
            }
            SidecarJob::Remove(sidecars) => {
                let removed = self.on_disk(move |own| own.remove(&sidecars)).await;
                if let Err(error) = removed {
                    tracing::warn!("a picture that was let go of stays until the next start: {error}");
                }
                return None;
            }
            SidecarJob::Check { player, sidecars } => {
                let checked = self.on_disk(move |own| sidecars.into_iter().filter(|s| own.is_lost(s)).collect()).await;
                match checked {
                    Ok(lost) if Vec::is_empty(&lost) => return None,
                    Ok(lost) => SidecarInput::Lost(player, lost),
                    Err(error) => {
                        tracing::warn!("pictures were not compared: {error}");
                        return None;
                    }
                }
            }
        })
    }

    /// The bytes of a picture, as long as they are what they should be. `None` when it is not here, or damaged: then it is
    /// taken out, so that it can be put again.
    pub(crate) async fn read(&self, sidecar: Sidecar) -> Result<Option<Vec<u8>>, Report> {
        self.on_disk(move |own| own.look(&sidecar)).await.and_then(|r| r)
    }

    /// Runs disk work where blocking is allowed. It runs to its end even when this is dropped.
    async fn on_disk<T: Send + 'static>(&self, work: impl FnOnce(&Self) -> T + Send + 'static) -> Result<T, Report> {
        let own = self.clone();
        self.blocking.run(move || work(&own)).await
    }

    fn attach(&self, snapshot: SnapshotId, file: &Path) -> Result<PictureRef, Report> {
        let (fs, folder, name) = self.place(file, "cannot_read")?;
        let (picture, bytes) = read_given(&*fs, folder, name).map_err(|e| errors::sidecar(&e))?;
        self.disk.put(&Sidecar { snapshot, picture }, &bytes).map_err(|e| errors::sidecar(&e))?;
        Ok(picture)
    }

    fn hand_out(&self, sidecar: &Sidecar, file: &Path) -> HandedOut {
        let bytes = match self.look(sidecar) {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return HandedOut::Lost,
            Err(error) => return HandedOut::Failed(error),
        };
        let written = self.place(file, "cannot_write").and_then(|(fs, folder, name)| {
            hand_out(&*fs, folder, name, &bytes).map_err(|e| match &e {
                SidecarError::There { .. } => errors::sidecar(&e).hint("move it away, or name another file"),
                _ => errors::sidecar(&e),
            })
        });
        written.map_or_else(HandedOut::Failed, |()| HandedOut::Well)
    }

    /// The folder of a person's file, and the file's name in it.
    fn place<'a>(
        &self,
        file: &'a Path,
        code: &str,
    ) -> Result<(Arc<dyn bonfire_disk::fs::Fs>, &'a Path, &'a str), Report> {
        let failed = |e: io::Error| {
            let class =
                if e.kind() == io::ErrorKind::NotFound { ErrorClass::NotFound } else { ErrorClass::Environment };
            Report::new(class, code, format!("the folder of {} cannot be opened: {e}", file.display()))
        };
        let (Some(folder), Some(name)) = (file.parent(), file.file_name().and_then(|n| n.to_str())) else {
            return Err(failed(io::ErrorKind::NotFound.into()));
        };
        Ok((self.live.open(folder).map_err(failed)?, folder, name))
    }

    fn look(&self, sidecar: &Sidecar) -> Result<Option<Vec<u8>>, Report> {
        match self.disk.read(sidecar) {
            Err(error @ SidecarError::Damaged { .. }) => {
                tracing::warn!("{error}; it is taken out");
                if let Err(error) = self.disk.remove(sidecar) {
                    tracing::warn!("a damaged picture stays: {}", errors::chain(&error));
                }
                Ok(None)
            }
            other => other.map_err(|e| errors::sidecar(&e)),
        }
    }

    /// Whether a picture is not here any more; what cannot be read now may be whole.
    fn is_lost(&self, sidecar: &Sidecar) -> bool {
        match self.look(sidecar) {
            Ok(found) => found.is_none(),
            Err(error) => {
                tracing::warn!("{error}");
                false
            }
        }
    }

    fn remove(&self, sidecars: &[Sidecar]) {
        for sidecar in sidecars {
            if let Err(error) = self.disk.remove(sidecar) {
                // The next start lets go of it again.
                tracing::warn!("a picture that was let go of stays: {}", errors::chain(&error));
            }
        }
    }

    async fn fetch(&self, player_id: PlayerId, sidecar: Sidecar, connection: &Connection) -> Brought {
        let free = self.on_disk(|own| own.disk.free_space().map_err(|e| errors::sidecar(&e))).await.and_then(|r| r);
        match free {
            Ok(free) if free >= ROOM_LEFT + u64::from(sidecar.picture.len) => {}
            Ok(_) => {
                let what = "the disk of the data folder is too full to keep pictures of other devices";
                let error = Report::new(ErrorClass::Environment, "no_space", what);
                return Brought::Disk(error.hint("free some space on that disk"));
            }
            Err(error) => return Brought::Disk(error),
        }
        let bytes = match receive(player_id, &sidecar.picture, connection).await {
            Ok(bytes) => bytes,
            Err(brought) => return brought,
        };
        let kept = self.on_disk(move |own| own.disk.put(&sidecar, &bytes).map_err(|e| errors::sidecar(&e))).await;
        kept.and_then(|r| r).map_or_else(Brought::Disk, |()| Brought::Whole)
    }
}

/// The bytes of a picture from a source, checked.
async fn receive(player_id: PlayerId, picture: &PictureRef, connection: &Connection) -> Result<BytesMut, Brought> {
    let lied = |why: &str| {
        tracing::warn!("{} answered wrongly for a picture: {why}", connection.remote_addr());
        Brought::Lied
    };
    let broke = |e: NetError| match e {
        NetError::Frame { .. } => lied("no message"),
        _ => Brought::Cut,
    };
    let request = Request::GetSidecar(GetSidecar { player_id, hash: picture.hash });
    let mut answer = connection.request(&request).await.map_err(broke)?;
    match answer.next().await.map_err(broke)? {
        Some(Response::Chunk(c)) if c.index == 0 && c.len == picture.len && c.hash == picture.hash => {}
        Some(Response::Error(e)) if matches!(e.code, ErrorCode::Busy | ErrorCode::Internal) => {
            return Err(Brought::Cut);
        }
        Some(Response::Error(_)) => return Err(Brought::Refused),
        _ => return Err(lied("another picture than was asked for")),
    }
    let len = usize::try_from(picture.len).unwrap_or(usize::MAX);
    let mut bytes = BytesMut::with_capacity(len);
    while bytes.len() < len {
        match answer.read_raw(len - bytes.len()).await.map_err(broke)? {
            Some(part) => bytes.extend_from_slice(&part),
            None => return Err(Brought::Cut),
        }
    }
    // A few milliseconds: a picture is 4 MiB at most.
    if picture.is(&bytes) { Ok(bytes) } else { Err(lied("bytes with another hash")) }
}

/// What is said of a job whose worker broke, where somebody waits for it.
pub(crate) fn failure(job: SidecarJob, error: Report) -> Option<SidecarInput> {
    match job {
        SidecarJob::Attach { command, line, snapshot, .. } => {
            Some(SidecarInput::Attached { command, line, snapshot, attached: Err(error) })
        }
        SidecarJob::HandOut { command, player, sidecar, .. } => {
            Some(SidecarInput::HandedOut { command, player, sidecar, handed: HandedOut::Failed(error) })
        }
        SidecarJob::Fetch { player, sidecar, from } => {
            Some(SidecarInput::Fetched { player, sidecar, from: from.0, brought: Brought::Disk(error) })
        }
        SidecarJob::Remove(_) | SidecarJob::Check { .. } => None,
    }
}
