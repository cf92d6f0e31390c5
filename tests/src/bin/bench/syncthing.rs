//! Syncthing in the seats of a room, to compare with: configured to do what Bonfire does, as fast as it can.
//!
//! Owns its processes and folders. No global discovery, no relays, no updates: devices are named by address, changes are
//! watched for with the least delay that Syncthing allows.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use bonfire_tests::child;
use bonfire_tests::link::Link;

/// The least delay between a change and a scan that Syncthing takes.
pub(crate) const WATCH_DELAY: Duration = Duration::from_secs(1);

/// Syncthing in one seat.
pub(crate) struct Syncthing {
    process: Option<Child>,
    home: PathBuf,
    /// The folder that is kept in step.
    pub(crate) folder: PathBuf,
    id: String,
    environment: Vec<(String, String)>,
}

impl Syncthing {
    /// Whether it can be run here.
    pub(crate) fn is_there() -> bool {
        Command::new("syncthing")
            .arg("--version")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|s| s.success())
    }

    /// Makes a device with a folder.
    pub(crate) fn prepare(at: &Path) -> Self {
        let (home, folder) = (at.join("syncthing"), at.join("synced"));
        std::fs::create_dir_all(&folder).unwrap();
        let run = |args: &[&str]| {
            let mut command = Command::new("syncthing");
            child::run(command.args(args).arg(format!("--home={}", home.display())), b"", Duration::from_secs(60))
        };
        assert!(run(&["generate", "--no-default-folder"]).status.success(), "syncthing cannot make its keys");
        let id = String::from_utf8(run(&["--device-id"]).stdout).unwrap().trim().to_owned();
        Self { process: None, home, folder, id, environment: Vec::new() }
    }

    /// Sets an environment variable for the start.
    pub(crate) fn environment(&mut self, name: &str, value: &str) {
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// Writes the configuration of each: all of them share the folder. `addresses` are those of the seats, in order.
    pub(crate) fn introduce(all: &[Self], addresses: &[String]) {
        let mut devices = String::new();
        for (one, address) in all.iter().zip(addresses) {
            write!(
                devices,
                r#"<device id="{}" name="{address}"><address>tcp://{address}:22000</address></device>"#,
                one.id
            )
            .unwrap();
        }
        let members: String = all.iter().map(|one| format!(r#"<device id="{}"></device>"#, one.id)).collect();
        for one in all {
            let folder = format!(
                r#"<folder id="save" label="save" path="{}" type="sendreceive" rescanIntervalS="3600" fsWatcherEnabled="true" fsWatcherDelayS="{}" autoNormalize="true">{members}<maxConflicts>-1</maxConflicts></folder>"#,
                one.folder.display(),
                WATCH_DELAY.as_secs(),
            );
            let options = "<options><listenAddress>tcp://0.0.0.0:22000</listenAddress>\
                <globalAnnounceEnabled>false</globalAnnounceEnabled><localAnnounceEnabled>false</localAnnounceEnabled>\
                <relaysEnabled>false</relaysEnabled><natEnabled>false</natEnabled><startBrowser>false</startBrowser>\
                <reconnectionIntervalS>1</reconnectionIntervalS><urAccepted>-1</urAccepted>\
                <crashReportingEnabled>false</crashReportingEnabled><autoUpgradeIntervalH>0</autoUpgradeIntervalH></options>";
            let gui = r#"<gui enabled="false"></gui>"#;
            let config = format!(r#"<configuration version="36">{folder}{devices}{gui}{options}</configuration>"#);
            std::fs::write(one.home.join("config.xml"), config).unwrap();
        }
    }

    /// Starts it in a seat.
    pub(crate) fn start(&mut self, link: &Link) {
        let mut command = link.namespace().command(Path::new("syncthing"));
        command
            .args(["serve", "--no-browser", "--no-restart", "--no-upgrade"])
            .arg(format!("--home={}", self.home.display()));
        command.envs(self.environment.iter().cloned());
        let log = std::fs::File::create(self.home.join("log")).unwrap();
        command.stdout(log.try_clone().unwrap()).stderr(log).stdin(Stdio::null());
        self.process = Some(command.spawn().unwrap());
    }

    /// Ends it.
    pub(crate) fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let id = process.id().to_string();
            // Asked first, so that its database is whole at the next start.
            let _asked = Command::new("kill").args(["-TERM", &id]).status();
            if child::wait_exit(&mut process, Duration::from_secs(20)).is_none() {
                process.kill().unwrap();
                process.wait().unwrap();
            }
        }
    }
}

impl Drop for Syncthing {
    fn drop(&mut self) {
        self.stop();
    }
}
