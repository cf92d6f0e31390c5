//! This machine, as far as saves and devices go: the live folders, the processes, and what it says of itself.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use bonfire_disk::fs::Fs;
use bonfire_disk::saves::{CopyPlace, DeclaredRoot, RootError, RootLabel, SavePlaces, SaveRoot};
use bonfire_engine::places::pattern::Pattern;
use bonfire_engine::players::About;
use bonfire_engine::saves::work::Placement;
use bonfire_engine::{ErrorClass, Report};
use bonfire_proto::Digest;

use crate::errors;
use crate::playing::{self, Hints};
use crate::saves::LiveSaves;

/// The folders and processes of this machine.
#[derive(Debug)]
pub struct Machine {
    data: PathBuf,
    /// Processes of play sessions with when each was started, from when they were first asked about: a number is given
    /// again to another process.
    started: Mutex<BTreeMap<u32, u64>>,
}

impl Machine {
    /// The machine of a peer whose data folder this is.
    #[must_use]
    pub fn new(data: PathBuf) -> Self {
        Self { data, started: Mutex::default() }
    }

    fn look(&self, place: &Placement) -> Result<SavePlaces, Report> {
        let patterns = |texts: &[String]| texts.iter().map(|t| t.parse::<Pattern>()).collect::<Result<Vec<_>, _>>();
        let declared = |root: &bonfire_engine::saves::work::Root| {
            Ok::<_, RootError>(DeclaredRoot {
                label: RootLabel::new(root.label.as_str())?,
                path: PathBuf::from(&root.path),
                is_file: root.is_file,
                include: patterns(&root.include)?,
                ignore: patterns(&place.ignore)?,
                exclude: patterns(&root.placed.exclude)?,
                folds_names: root.placed.folds_names,
                name: root.placed.name.clone(),
                only_as_such: root.placed.only_as_such,
            })
        };
        let roots = place.roots.iter().map(|root| {
            declared(root).map_err(|e| {
                Report::new(ErrorClass::Refused, "bad_root", format!("{} as {}: {e}", root.path, root.label))
                    .hint("say anew where the save lies")
            })
        });
        SavePlaces::look(&roots.collect::<Result<Vec<_>, _>>()?, &self.data).map_err(|e| errors::save(&e))
    }

    /// Those of the processes that are still the ones that were first asked about.
    fn alive(&self, pids: &[u32]) -> Vec<(u32, u64)> {
        let mut started = self.started.lock().unwrap_or_else(PoisonError::into_inner);
        let mut alive = Vec::new();
        for pid in pids {
            let Some(now) = playing::process_start(*pid) else {
                started.remove(pid);
                continue;
            };
            if *started.entry(*pid).or_insert(now) == now {
                alive.push((*pid, now));
            } else {
                // Another one by now. Whoever names it anew means that one.
                started.remove(pid);
            }
        }
        alive
    }
}

impl LiveSaves for Machine {
    fn roots(&self, place: &Placement) -> Result<Vec<SaveRoot>, Report> {
        Ok(self.look(place)?.open().map_err(|e| errors::save(&e))?.roots)
    }

    fn create(&self, place: &Placement, needed: &BTreeSet<&str>) -> Result<Vec<SaveRoot>, Report> {
        self.look(place)?.create(needed).map_err(|e| errors::save(&e))
    }

    fn copy_places(&self, place: &Placement) -> Result<Vec<CopyPlace>, Report> {
        self.look(place)?.copy_places().map_err(|e| errors::save(&e))
    }

    fn folders(&self, place: &Placement) -> Result<Vec<PathBuf>, Report> {
        Ok(self.look(place)?.folders())
    }

    fn open(&self, folder: &Path) -> io::Result<Arc<dyn Fs>> {
        bonfire_disk::fs::real(folder)
    }

    fn is_running(&self, place: &Placement, pids: &[u32]) -> Result<bool, Report> {
        // The folder around a root that is one file is no sign: anything may be open there.
        let folders = place.roots.iter().filter(|r| !r.is_file).map(|r| PathBuf::from(&r.path));
        playing::is_running(&Hints {
            programs: place.programs.clone(),
            under: Vec::new(),
            open_in: folders.collect(),
            pids: self.alive(pids),
        })
    }

    fn is_used(&self, root: &Path, installs: &[PathBuf], pids: &[u32]) -> Result<bool, Report> {
        playing::is_running(&Hints {
            programs: Vec::new(),
            under: vec![root.to_owned()],
            open_in: installs.to_vec(),
            pids: self.alive(pids),
        })
    }
}

/// What this machine says of itself to its players' other devices.
pub(crate) fn about() -> About {
    About {
        platform: platform(),
        client: "bonfire".to_owned(),
        client_version: env!("CARGO_PKG_VERSION").to_owned(),
        hostname: hostname(),
        mac: mac(Path::new("/sys/class/net")),
        machine_id: machine_id(),
    }
}

fn platform() -> String {
    let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    if release.lines().any(|line| line == "ID=steamos") { "steamdeck" } else { std::env::consts::OS }.to_owned()
}

fn hostname() -> Option<String> {
    let told = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let told = told.or_else(|| std::env::var("COMPUTERNAME").ok()).or_else(|| std::env::var("HOSTNAME").ok());
    told.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty())
}

/// The address of the first piece of hardware, by name; none where the system does not list them so.
fn mac(interfaces: &Path) -> Option<String> {
    let names = std::fs::read_dir(interfaces).ok()?.filter_map(Result::ok).map(|e| e.path());
    let mut real: Vec<PathBuf> = names.filter(|path| path.join("device").exists()).collect();
    real.sort();
    let addresses = real.iter().filter_map(|path| std::fs::read_to_string(path.join("address")).ok());
    addresses.map(|a| a.trim().to_owned()).find(|a| !a.is_empty() && a != "00:00:00:00:00:00")
}

/// The system's id is not for others; a hash of it says no more than that two devices are one machine.
fn machine_id() -> Option<Digest> {
    let id = std::fs::read_to_string("/etc/machine-id").ok()?;
    Some(Digest(blake3::derive_key("bonfire 2026 machine id", id.trim().as_bytes())))
}
