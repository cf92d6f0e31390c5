//! Network namespaces: making, entering, removing, and sweeping those of test processes that died.
//!
//! Every namespace is named `bf<pid>x<room>-<seat>`, so that a leftover names the process it belonged to. Nothing in the
//! host's own network is touched: bridges and links live in namespaces too.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;
use std::time::Duration;

use crate::child;

const LIMIT: Duration = Duration::from_secs(20);

/// A namespace that goes away with this value.
#[derive(Debug)]
pub struct Namespace {
    name: String,
}

impl Namespace {
    /// Makes a namespace with `lo` up and without the wait for duplicate IPv6 addresses.
    ///
    /// # Panics
    /// When it cannot be made.
    #[must_use]
    pub fn new(room: u32, seat: &str) -> Self {
        let name = format!("bf{}x{room}-{seat}", std::process::id());
        ip(&["netns", "add", &name]);
        let made = Self { name };
        made.ip(&["link", "set", "lo", "up"]);
        made.shell("for c in all default; do echo 0 > /proc/sys/net/ipv6/conf/$c/accept_dad; done");
        made
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What a thread opens to move into it.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        Path::new("/run/netns").join(&self.name)
    }

    /// A command that will run inside.
    #[must_use]
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name]).arg(program);
        command
    }

    /// Runs `ip` inside.
    ///
    /// # Panics
    /// When `ip` fails.
    pub fn ip(&self, args: &[&str]) -> String {
        let mut all = vec!["-n", self.name.as_str()];
        all.extend(args);
        ip(&all)
    }

    /// Runs `tc` inside; whether it succeeded.
    #[must_use]
    pub fn tc(&self, args: &[&str]) -> bool {
        let mut command = Command::new("tc");
        child::run(command.args(["-n", &self.name]).args(args), b"", LIMIT).status.success()
    }

    /// Runs a line of shell inside; its output when it succeeded, else what it complained of.
    ///
    /// # Errors
    /// What the line wrote to stderr.
    pub fn try_shell(&self, line: &str) -> Result<String, String> {
        let mut command = self.command(Path::new("sh"));
        let out = child::run(command.args(["-c", line]), b"", LIMIT);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if out.status.success() { Ok(text(&out.stdout)) } else { Err(text(&out.stderr)) }
    }

    /// Runs a line of shell inside.
    ///
    /// # Panics
    /// When it fails.
    pub fn shell(&self, line: &str) -> String {
        self.try_shell(line).unwrap_or_else(|why| panic!("failed in {}: {line}\n{why}", self.name))
    }

    /// Ends every process inside at once.
    pub fn kill_all(&self) {
        kill_all(&self.name);
    }

    /// Moves the calling thread into the namespace for the rest of its life.
    ///
    /// # Panics
    /// When the kernel refuses.
    pub fn enter(path: &Path) {
        let handle = std::fs::File::open(path).unwrap();
        rustix::thread::move_into_link_name_space(
            std::os::fd::AsFd::as_fd(&handle),
            Some(rustix::thread::LinkNameSpaceType::Network),
        )
        .unwrap();
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        remove(&self.name);
    }
}

/// Why rooms cannot be made here, if they cannot. Tried once in a process: its threads would meet in the probe.
#[must_use]
pub fn obstacle() -> Option<String> {
    static OBSTACLE: LazyLock<Option<String>> = LazyLock::new(probe);
    OBSTACLE.clone()
}

fn probe() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("not root".to_owned());
    }
    let probe = format!("bf{}x0-probe", std::process::id());
    match Command::new("ip").args(["netns", "add", &probe]).output() {
        Err(e) => return Some(format!("no `ip`: {e}")),
        Ok(out) if !out.status.success() => return Some(String::from_utf8_lossy(&out.stderr).trim().to_owned()),
        Ok(_) => {}
    }
    remove(&probe);
    None
}

/// Removes namespaces of test processes that no longer run, and ends what still runs inside them.
pub fn sweep_leftovers() {
    let Ok(names) = std::fs::read_dir("/run/netns") else { return };
    for name in names.flatten().filter_map(|e| e.file_name().into_string().ok()) {
        let Some(pid) = owner(&name) else { continue };
        if !Path::new("/proc").join(pid.to_string()).exists() {
            eprintln!("sweeping {name}, left by a dead test process");
            remove(&name);
        }
    }
}

/// The test process that a namespace's name names.
fn owner(name: &str) -> Option<u32> {
    name.strip_prefix("bf")?.split_once('x')?.0.parse().ok()
}

/// Ends whatever runs inside. Only a namespace of a room is ever named here, so all of it was started by a room.
fn kill_all(name: &str) {
    let Ok(out) = Command::new("ip").args(["netns", "pids", name]).output() else { return };
    for pid in String::from_utf8_lossy(&out.stdout).split_whitespace().filter_map(|p| p.parse().ok()) {
        if let Some(pid) = rustix::process::Pid::from_raw(pid) {
            // It may have ended meanwhile.
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    }
}

fn remove(name: &str) {
    kill_all(name);
    match Command::new("ip").args(["netns", "del", name]).output() {
        Ok(out) if out.status.success() => {}
        Ok(out) => eprintln!("cannot remove namespace {name}: {}", String::from_utf8_lossy(&out.stderr).trim()),
        Err(e) => eprintln!("cannot remove namespace {name}: {e}"),
    }
}

fn ip(args: &[&str]) -> String {
    let out = child::run(Command::new("ip").args(args), b"", LIMIT);
    assert!(out.status.success(), "ip {}: {}", args.join(" "), String::from_utf8_lossy(&out.stderr).trim());
    String::from_utf8_lossy(&out.stdout).into_owned()
}

#[cfg(test)]
mod tests {
    use super::owner;

    #[test]
    fn a_name_of_ours_names_its_process_and_no_other_name_does() {
        assert_eq!(owner("bf4711x3-a"), Some(4711));
        assert_eq!(owner("bf-x3"), None);
        assert_eq!(owner("work"), None);
        assert_eq!(owner("bf12"), None);
    }
}
