//! Whether a game runs on this machine, also one that somebody else started.
//!
//! Saves of a game that runs are not touched, so what cannot be told is an error and never "no". A process of another user
//! that hides itself is passed over: it plays with that user's saves. Bonfire itself never counts. Blocks for as long as a
//! look at every process takes, some milliseconds. Where the system keeps its processes is a module for each.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
use linux as system;

#[cfg(not(target_os = "linux"))]
mod others;
#[cfg(not(target_os = "linux"))]
use others as system;

use std::io;
use std::path::PathBuf;

use bonfire_engine::{ErrorClass, Report};
use bonfire_proto::rel_path::fold;

/// By what a running game is known. Any one of them is enough.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hints {
    /// Names of programs, with or without the folders above and `.exe`, in upper or lower case.
    pub programs: Vec<String>,
    /// Folders of the game: a process counts whose program or working directory is one of them or beneath.
    pub under: Vec<PathBuf>,
    /// Folders of its saves: a process counts that has a file beneath one open to write. Only Linux tells.
    pub open_in: Vec<PathBuf>,
    /// Processes of a play session, each with what `process_start` said when it was started.
    pub pids: Vec<(u32, u64)>,
}

/// Whether a process runs to which a hint leads. A folder that is not there leads to none.
///
/// # Errors
/// When the processes or the folders cannot be looked at.
pub fn is_running(hints: &Hints) -> Result<bool, Report> {
    let look = || {
        let me = std::process::id();
        let is_there = |&(pid, start): &(u32, u64)| pid != me && process_start(pid) == Some(start);
        if hints.pids.iter().any(is_there) {
            return Ok(true);
        }
        let asked = Asked::new(hints)?;
        Ok(!asked.is_empty() && system::is_any_running(&asked)?)
    };
    look().map_err(|e: io::Error| {
        Report::new(ErrorClass::Environment, "processes", format!("cannot tell whether the game runs: {e}")).retryable()
    })
}

/// What tells a process from a later one with the same number, until the machine restarts: when it was started, in a unit
/// of the system. `None` when it has ended or does not show.
#[must_use]
pub fn process_start(pid: u32) -> Option<u64> {
    system::process_start(pid)
}

/// Hints, made ready to compare.
struct Asked {
    /// As `plain_name` has them.
    programs: Vec<String>,
    /// As the system names folders, without links.
    under: Vec<PathBuf>,
    open_in: Vec<PathBuf>,
}

impl Asked {
    fn new(hints: &Hints) -> io::Result<Self> {
        Ok(Self {
            programs: hints.programs.iter().map(|name| plain_name(name)).filter(|name| !name.is_empty()).collect(),
            under: folders(&hints.under)?,
            open_in: folders(&hints.open_in)?,
        })
    }

    fn is_empty(&self) -> bool {
        self.programs.is_empty() && self.under.is_empty() && self.open_in.is_empty()
    }

    /// Whether a process that goes by this name, or was started by it, is asked for.
    fn has_program(&self, name: &str) -> bool {
        let name = plain_name(name);
        self.programs.contains(&name)
    }
}

/// The folders that are there, without links.
fn folders(list: &[PathBuf]) -> io::Result<Vec<PathBuf>> {
    let mut out = Vec::new();
    for folder in list {
        match std::fs::canonicalize(folder) {
            Ok(folder) => out.push(folder),
            Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {}
            Err(e) => return Err(io::Error::new(e.kind(), format!("{}: {e}", folder.display()))),
        }
    }
    Ok(out)
}

/// The name of a program alone, in one case. Games of Windows run on Linux under names of Windows, so both kinds of path
/// are taken apart.
fn base_name(path: &str) -> String {
    fold(path.rsplit(['/', '\\']).next().unwrap_or(path).trim())
}

fn plain_name(path: &str) -> String {
    let name = base_name(path);
    name.strip_suffix(".exe").map(str::to_owned).unwrap_or(name)
}

#[cfg(test)]
mod tests;
