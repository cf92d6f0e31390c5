//! Giving up rights before archives are read.
//!
//! Says which restrictions the system really gave and never fails for one that it does not have. What the child may still
//! do: read what it has open, make files and folders beneath staging, use so much memory and time.

use std::io;
use std::path::Path;

use crate::limits::Limits;
use crate::protocol::Granted;

#[cfg(target_os = "linux")]
mod linux;
#[cfg(all(test, target_os = "linux"))]
mod tests;

/// Restricts this thread and all that it starts later. `writes_to` is the only folder in which anything may be made;
/// `runs_programs` leaves the right to run what is installed.
///
/// # Errors
/// When a restriction that the system has could not be had.
pub(crate) fn restrict(writes_to: Option<&Path>, runs_programs: bool, limits: &Limits) -> io::Result<Granted> {
    #[cfg(target_os = "linux")]
    return linux::restrict(writes_to, runs_programs, limits);
    #[cfg(all(unix, not(target_os = "linux")))]
    {
        let _ = (writes_to, runs_programs);
        return Ok(Granted { resource_limits: bound(limits), ..Granted::default() });
    }
    // A job object would need calls that std does not have; the runner's handle ends the child all the same.
    #[cfg(not(unix))]
    {
        let _ = (writes_to, runs_programs, limits);
        Ok(Granted::default())
    }
}

/// Bounds memory, time of processor, open files, length of files and core dumps. Whether each of them was given.
#[cfg(unix)]
fn bound(limits: &Limits) -> bool {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let all = [
        (Resource::As, limits.address_space),
        (Resource::Cpu, limits.cpu_seconds),
        (Resource::Nofile, crate::limits::OPEN_FILES),
        (Resource::Fsize, limits.file_bytes),
        (Resource::Core, 0),
    ];
    all.into_iter().fold(true, |given, (resource, most)| {
        // Never more than there is: that would be refused.
        let most = getrlimit(resource).maximum.map_or(most, |maximum| maximum.min(most));
        setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) }).is_ok() && given
    })
}
