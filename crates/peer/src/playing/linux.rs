//! Processes of Linux, read from `/proc`.
//!
//! A process may end while it is looked at, and what belongs to others may be hidden: neither is an error. Anything else
//! that the system says is.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use bonfire_proto::rel_path::fold;

use super::{Asked, base_name};

/// Longest beginning of a command line that is read; the program stands first.
const COMMAND_LEN_MAX: u64 = 4_096;
/// The kernel cuts the name of a process to this many bytes.
const COMM_LEN_MAX: usize = 15;
/// The bits of a file's flags that say whether it is open to write; none for reading alone.
const ACCESS_MODE: u32 = 0o3;

pub(super) fn process_start(pid: u32) -> Option<u64> {
    started(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

pub(super) fn is_any_running(asked: &Asked) -> io::Result<bool> {
    let me = Process(PathBuf::from("/proc/self"));
    let (mine, user) = (me.link("exe")?, me.user()?);
    let mut others = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let pid = name.to_str().and_then(|name| name.parse::<u32>().ok());
        if pid.is_none_or(|pid| pid == std::process::id()) {
            continue;
        }
        let process = Process(Path::new("/proc").join(name));
        let program = process.link("exe")?;
        // The program of a process that is being started is ours until it is the game's.
        if program.is_some() && program == mine {
            continue;
        }
        if process.is_under(asked, program.as_deref())? || process.is_named(asked, program.as_deref(), user)? {
            return Ok(true);
        }
        others.push(process);
    }
    if asked.open_in.is_empty() {
        return Ok(false);
    }
    // Last, since there are far more open files than processes.
    for process in others {
        if process.writes_in(&asked.open_in)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The folder of a process beneath `/proc`.
struct Process(PathBuf);

impl Process {
    fn is_under(&self, asked: &Asked, program: Option<&Path>) -> io::Result<bool> {
        let is_under = |path: &Path| asked.under.iter().any(|folder| path.starts_with(folder));
        if asked.under.is_empty() {
            return Ok(false);
        }
        Ok(program.is_some_and(is_under) || self.link("cwd")?.is_some_and(|folder| is_under(&folder)))
    }

    fn is_named(&self, asked: &Asked, program: Option<&Path>, user: Option<u32>) -> io::Result<bool> {
        if asked.programs.is_empty() {
            return Ok(false);
        }
        let program = program.map(|path| path.to_string_lossy().into_owned());
        let names: Vec<String> = program.into_iter().chain(self.first_word()?).collect();
        if !names.iter().any(|name| asked.has_program(name)) && !self.goes_by(asked, &names)? {
            return Ok(false);
        }
        // Names show of everybody's processes, and of those that have ended and wait for their parent.
        let is_mine = user == Some(0) || self.user()? == user;
        let is_alive = seen(fs::read_to_string(self.0.join("stat")))?.is_some_and(|stat| started(&stat).is_some());
        Ok(is_mine && is_alive)
    }

    /// By the name that the kernel shows, where that is another than these. It may be cut: that of a script is all there is.
    fn goes_by(&self, asked: &Asked, names: &[String]) -> io::Result<bool> {
        let Some(shown) = seen(fs::read(self.0.join("comm")))? else { return Ok(false) };
        let shown = String::from_utf8_lossy(&shown);
        let shown = shown.trim_end_matches('\n');
        if shown.len() < COMM_LEN_MAX {
            return Ok(asked.has_program(shown));
        }
        let cut = fold(shown);
        let is_whole_elsewhere = names.iter().any(|name| base_name(name).starts_with(&cut));
        Ok(!is_whole_elsewhere && asked.programs.iter().any(|program| format!("{program}.exe").starts_with(&cut)))
    }

    /// The first word of its command line: that is what a program of Windows is known by.
    fn first_word(&self) -> io::Result<Option<String>> {
        let read = File::open(self.0.join("cmdline")).and_then(|file| {
            let mut line = Vec::new();
            file.take(COMMAND_LEN_MAX).read_to_end(&mut line).map(|_| line)
        });
        let line = seen(read)?.unwrap_or_default();
        let first = line.split(|byte| *byte == 0).next().unwrap_or_default();
        Ok((!first.is_empty()).then(|| String::from_utf8_lossy(first).into_owned()))
    }

    fn writes_in(&self, folders: &[PathBuf]) -> io::Result<bool> {
        let Some(files) = seen(fs::read_dir(self.0.join("fd")))? else { return Ok(false) };
        for file in files {
            let Some(file) = seen(file)? else { continue };
            let is_beneath = |path: PathBuf| folders.iter().any(|folder| path.starts_with(folder));
            if !seen(fs::read_link(file.path()))?.is_some_and(is_beneath) {
                continue;
            }
            let info = seen(fs::read_to_string(self.0.join("fdinfo").join(file.file_name())))?;
            if info.is_some_and(|info| is_open_to_write(&info)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn link(&self, name: &str) -> io::Result<Option<PathBuf>> {
        seen(fs::read_link(self.0.join(name)))
    }

    /// The user in whose name it acts.
    fn user(&self) -> io::Result<Option<u32>> {
        let status = seen(fs::read(self.0.join("status")))?.unwrap_or_default();
        let status = String::from_utf8_lossy(&status);
        let line = status.lines().find_map(|line| line.strip_prefix("Uid:"));
        Ok(line.and_then(|users| users.split_whitespace().nth(1)?.parse().ok()))
    }
}

/// What the system shows; `None` of a process that has ended or hides it.
fn seen<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    /// "No such process": how it is said of one that ends between two steps.
    const ESRCH: i32 = 3;
    match result {
        Ok(value) => Ok(Some(value)),
        Err(e) if e.raw_os_error() == Some(ESRCH) => Ok(None),
        // A name that is too long for the system to tell leads to nothing that was asked for.
        Err(e) => match e.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied | io::ErrorKind::InvalidFilename => Ok(None),
            _ => Err(e),
        },
    }
}

/// When a process was started, from its line in `/proc/PID/stat`; `None` of one that has ended and of which nothing is left
/// but that line.
fn started(stat: &str) -> Option<u64> {
    // The name stands in brackets and may hold anything, brackets and spaces too.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let threads: u64 = fields.get(17)?.parse().ok()?;
    match *fields.first()? {
        "X" | "x" => None,
        // With more threads only the first has ended.
        "Z" if threads <= 1 => None,
        _ => fields.get(19)?.parse().ok(),
    }
}

fn is_open_to_write(info: &str) -> bool {
    let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
    flags.and_then(|flags| u32::from_str_radix(flags.trim(), 8).ok()).is_some_and(|flags| flags & ACCESS_MODE != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_of_a_process_is_read_past_any_name_and_one_that_ended_has_none() {
        let stat = |name: &str, state: &str, threads: u32| {
            format!("17 ({name}) {state} 1 17 17 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 {threads} 0 4711 0 0")
        };
        assert_eq!(started(&stat("game", "S", 1)), Some(4711));
        assert_eq!(started(&stat("a) Z (b", "R", 1)), Some(4711));
        assert_eq!(started(&stat("game", "Z", 1)), None);
        assert_eq!(started(&stat("game", "Z", 3)), Some(4711));
        assert_eq!(started(""), None);
    }

    #[test]
    fn a_file_is_open_to_write_by_its_flags() {
        assert!(is_open_to_write("pos:\t0\nflags:\t0100001\nmnt_id:\t26\n"));
        assert!(is_open_to_write("flags:\t02100002\n"));
        assert!(!is_open_to_write("pos:\t0\nflags:\t0100000\n"));
        assert!(!is_open_to_write("flags:\t012000000\n"), "a mere place, neither read nor written");
    }
}
