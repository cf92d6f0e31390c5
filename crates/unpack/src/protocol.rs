//! What the child and its parent say to each other: one JSON value a line, a request in, progress and an outcome out.
//!
//! Owns the words and the length of a line. Both sides take the other's lines for untrusted: a child may have been taken
//! over by what it read.

use std::collections::BTreeMap;
use std::io::{self, BufRead, Read as _};
use std::path::PathBuf;

use bonfire_proto::{Digest, RelPath};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::UnpackError;
use crate::format::Format;
use crate::job::Extracted;
use crate::limits::Limits;

/// Longest line in bytes: a request names a few thousand parts, a piece of a list a thousand paths of 1 KiB.
pub(crate) const LINE_MAX: u64 = 4 << 20;
/// Names in one line of a list.
pub(crate) const NAMES_A_LINE: usize = 1_000;

/// What a child is asked, once.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Request {
    pub(crate) task: Task,
    /// The folder in which the archives are.
    pub(crate) root: PathBuf,
    /// In order.
    pub(crate) archives: Vec<Asked>,
    pub(crate) limits: Limits,
    /// Only these files are written, at most so many bytes of each. Everything else is read and checked all the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) only: Option<BTreeMap<RelPath, u64>>,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Task {
    List,
    /// Into this empty folder.
    Extract {
        staging: PathBuf,
    },
}

/// An archive by the names of its parts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Asked {
    pub(crate) format: Format,
    pub(crate) parts: Vec<String>,
    pub(crate) are_volumes: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) other_reader: Option<PathBuf>,
}

/// What a child says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Said {
    /// First: what of its restrictions the system gave.
    Restricted(Granted),
    /// This archive is next.
    Begins(String),
    Progress {
        bytes: u64,
        files: u64,
    },
    /// A piece of what came out: path, bytes, BLAKE3.
    Content(Vec<(RelPath, u64, Digest)>),
    /// Last, one of these three. The content came before.
    Listed {
        bytes: Option<u64>,
        files: u64,
    },
    Extracted(Extracted),
    Failed(UnpackError),
}

/// Which restrictions of a child the system really gave.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Granted {
    /// It can gain no rights by running a program.
    pub no_new_privileges: bool,
    /// It reaches no file but those beneath staging, and no TCP port.
    pub landlock: Landlock,
    /// System calls for sockets, links, devices, other processes and the like fail.
    pub seccomp: bool,
    /// Memory, time of processor, open files, length of files and core dumps are bounded.
    pub resource_limits: bool,
}

/// How far Landlock confines.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Landlock {
    /// Everything asked for.
    Full,
    /// What an older kernel knows of it.
    Partial,
    /// Nothing.
    #[default]
    None,
}

/// Reads one line; `None` at the end.
///
/// # Errors
/// A line that is too long or no such value; whatever the pipe reports.
pub(crate) fn read_line<T: DeserializeOwned>(from: &mut dyn BufRead) -> io::Result<Option<T>> {
    let mut line = Vec::new();
    let len = from.take(LINE_MAX).read_until(b'\n', &mut line)?;
    if len == 0 {
        return Ok(None);
    }
    if line.pop() != Some(b'\n') {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a line that has no end"));
    }
    serde_json::from_slice(&line).map(Some).map_err(io::Error::from)
}

/// Writes one line.
///
/// # Errors
/// Whatever the pipe reports.
pub(crate) fn write_line(to: &mut dyn io::Write, value: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    to.write_all(&line)?;
    to.flush()
}
