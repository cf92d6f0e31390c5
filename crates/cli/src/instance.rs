//! One peer for each data folder: holds the folder's lock file for life and says who holds it to a second start.
//! Does not own what else is in the folder.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bonfire_engine::{ErrorClass, Report};
use serde::{Deserialize, Serialize};

use crate::platform;

/// Longest holder note that is believed, in bytes.
const NOTE_LEN_MAX: u64 = 1024;

/// How long a lock may outlive the process that took it: a machine that is short of time takes long to start a process.
const LET_GO_WITHIN: Duration = Duration::from_secs(5);
/// How often that is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Who holds a data folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Holder {
    /// Its process.
    pub(crate) pid: u32,
    /// Its name and version.
    pub(crate) program: String,
}

/// The held lock. The system lets go of it when the process ends, however it ends.
#[derive(Debug)]
pub(crate) struct Instance {
    _lock: File,
}

impl Instance {
    /// Makes the data folder when it is missing (0700 where that exists) and takes its lock.
    ///
    /// # Errors
    /// `Refused` naming the holder when another process has it; `Environment` when the folder cannot be used.
    pub(crate) fn take(data_dir: &Path) -> Result<Self, Report> {
        platform::make_private_folder(data_dir)?;
        let path = data_dir.join("lock");
        let failed = |doing: &str, e: std::io::Error| {
            Report::new(ErrorClass::Environment, "data_folder", format!("cannot {doing} {}: {e}", path.display()))
                .hint("choose a folder that you can write to with --data-dir")
        };
        let lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(|e| failed("open", e))?;
        let since = Instant::now();
        loop {
            match lock.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if is_left_over(data_dir) && since.elapsed() < LET_GO_WITHIN => {
                    std::thread::sleep(LOOK_EVERY);
                }
                Err(TryLockError::WouldBlock) => return Err(held(data_dir)),
                Err(TryLockError::Error(e)) => return Err(failed("lock", e)),
            }
        }
        let holder =
            Holder { pid: std::process::id(), program: concat!("bonfire ", env!("CARGO_PKG_VERSION")).to_owned() };
        write_note(&lock, data_dir, &holder).map_err(|e| failed("write", e))?;
        Ok(Self { _lock: lock })
    }
}

/// Whether whoever took the lock has ended. One that was killed while it started another process leaves it the lock for the
/// moment until that is a program of its own.
fn is_left_over(data_dir: &Path) -> bool {
    read_note(data_dir).is_some_and(|holder| bonfire_peer::playing::process_start(holder.pid).is_none())
}

fn note_path(data_dir: &Path) -> PathBuf {
    data_dir.join(platform::HOLDER_NOTE)
}

fn write_note(lock: &File, data_dir: &Path, holder: &Holder) -> std::io::Result<()> {
    let note = serde_json::to_string(holder).expect("BUG: a holder cannot be written as JSON");
    if platform::HOLDER_NOTE != "lock" {
        return std::fs::write(note_path(data_dir), note + "\n");
    }
    let mut lock = lock;
    lock.set_len(0)?;
    lock.seek(SeekFrom::Start(0))?;
    lock.write_all((note + "\n").as_bytes())
}

fn held(data_dir: &Path) -> Report {
    let who = match read_note(data_dir) {
        Some(h) => format!("process {} ({}) holds", h.pid, crate::render::shown(&h.program)),
        None => "another process holds".to_owned(),
    };
    Report::new(ErrorClass::Refused, "already_running", format!("{who} the data folder {}", data_dir.display()))
        .hint("stop that process, or start a second peer with its own --data-dir and its own --games-dir")
}

/// Who holds the folder, as far as its note says.
fn read_note(data_dir: &Path) -> Option<Holder> {
    let mut text = String::new();
    File::open(note_path(data_dir)).ok()?.take(NOTE_LEN_MAX).read_to_string(&mut text).ok()?;
    serde_json::from_str(&text).ok()
}

#[cfg(test)]
mod tests {
    use super::{Holder, Instance, write_note};
    use bonfire_engine::ErrorClass;

    #[test]
    fn a_lock_that_outlives_the_process_that_took_it_is_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        let first = Instance::take(&data).unwrap();
        // No process has this number.
        let dead = Holder { pid: u32::MAX - 1, program: "bonfire".to_owned() };
        write_note(&first._lock, &data, &dead).unwrap();
        let second = std::thread::spawn(move || Instance::take(&data).map(|_| ()));
        drop(first);
        second.join().unwrap().unwrap();
    }

    #[test]
    fn a_second_instance_is_refused_with_the_pid_of_the_first() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        let first = Instance::take(&data).unwrap();
        let refusal = Instance::take(&data).unwrap_err();
        assert_eq!(refusal.class, ErrorClass::Refused);
        assert!(refusal.message.contains(&format!("process {} ", std::process::id())), "{}", refusal.message);
        drop(first);
        Instance::take(&data).unwrap();
    }
}
