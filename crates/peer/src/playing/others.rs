//! Processes of the systems that are not Linux, as `sysinfo` tells of them. Which files are open is not told there.

use std::io;
use std::path::{Path, PathBuf};

use bonfire_proto::rel_path::fold;
use sysinfo::{Pid, Process, ProcessRefreshKind, ProcessesToUpdate, System, UpdateKind};

use super::Asked;

pub(super) fn process_start(pid: u32) -> Option<u64> {
    let (mut system, pid) = (System::new().ok()?, Pid::from_u32(pid));
    system.refresh_processes_specifics(ProcessesToUpdate::Some(&[pid]), true, ProcessRefreshKind::nothing());
    system.process(pid).map(Process::start_time)
}

pub(super) fn is_any_running(asked: &Asked) -> io::Result<bool> {
    let mine = std::env::current_exe()?;
    let under: Vec<PathBuf> = asked.under.iter().map(|folder| comparable(folder)).collect();
    let mut system = System::new().map_err(|e| io::Error::other(format!("{e:?}")))?;
    let wanted = ProcessRefreshKind::nothing().with_exe(UpdateKind::Always).with_cwd(UpdateKind::Always);
    system.refresh_processes_specifics(ProcessesToUpdate::All, true, wanted);
    let is_asked_for = |process: &Process| {
        let program = process.exe();
        if process.pid().as_u32() == std::process::id() || program.is_some_and(|path| path == mine) {
            return false;
        }
        let is_under = |path: &Path| {
            let path = comparable(path);
            under.iter().any(|folder| path.starts_with(folder))
        };
        [program, process.cwd()].into_iter().flatten().any(is_under)
            || asked.has_program(&process.name().to_string_lossy())
            || program.is_some_and(|path| asked.has_program(&path.to_string_lossy()))
    };
    Ok(system.processes().values().any(is_asked_for))
}

/// A path as these systems compare paths: in one case, and without the mark of a path that was resolved.
fn comparable(path: &Path) -> PathBuf {
    let text = path.to_string_lossy();
    PathBuf::from(fold(text.strip_prefix(r"\\?\").unwrap_or(&text)))
}
