//! What a restricted process can still do, tried in a process of its own.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::net::{TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{linux, restrict};
use crate::error::Why;
use crate::job::{self, ArchiveFile};
use crate::limits::Limits;
use crate::place::Staging;
use crate::policy::Unattended;
use crate::protocol::{Granted, Landlock};

const PROBE: &str = "BONFIRE_SANDBOX_PROBE";
const REFUSING: &str = "BONFIRE_SANDBOX_REFUSING";

#[derive(Debug, serde::Serialize, serde::Deserialize)]
struct Found {
    granted: Granted,
    writes_inside: bool,
    writes_outside: bool,
    reads_outside: bool,
    links: bool,
    runs: bool,
    connects: bool,
    sends: bool,
}

/// Not a test unless it was started as the probe of one.
#[test]
fn probe() {
    let Some(what) = std::env::var_os(PROBE) else { return };
    let (staging, outside): (PathBuf, PathBuf) = (Path::new(&what).join("staging"), Path::new(&what).join("outside"));
    let port: u16 = std::fs::read_to_string(outside.join("port")).unwrap().parse().unwrap();
    let answer = std::fs::File::create(outside.join("answer")).unwrap();
    let granted = restrict(Some(&staging), false, &Limits::default()).unwrap();
    let found = Found {
        granted,
        writes_inside: std::fs::create_dir(staging.join("d")).is_ok()
            && std::fs::write(staging.join("d/f"), b"x").is_ok(),
        writes_outside: std::fs::write(outside.join("escaped"), b"x").is_ok(),
        reads_outside: std::fs::read(outside.join("port")).is_ok(),
        links: std::os::unix::fs::symlink("/", staging.join("link")).is_ok(),
        runs: Command::new("/bin/true").status().is_ok(),
        connects: TcpStream::connect(("127.0.0.1", port)).is_ok(),
        sends: UdpSocket::bind("127.0.0.1:0").is_ok(),
    };
    serde_json::to_writer(answer, &found).unwrap();
}

fn kernel_has_landlock() -> bool {
    use landlock::{ABI, Access as _, AccessFs, CompatLevel, Compatible as _, Ruleset, RulesetAttr as _};
    Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_all(ABI::V1))
        .and_then(Ruleset::create)
        .is_ok()
}

#[test]
fn a_restricted_process_writes_beneath_staging_and_does_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let outside = folder.path().join("outside");
    std::fs::create_dir(&outside).unwrap();
    std::fs::create_dir(folder.path().join("staging")).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    std::fs::write(outside.join("port"), listener.local_addr().unwrap().port().to_string()).unwrap();
    let ran = Command::new(std::env::current_exe().unwrap())
        .args(["sandbox::tests::probe", "--exact"])
        .env(PROBE, folder.path())
        .output()
        .unwrap();
    let answer = std::fs::read(outside.join("answer")).unwrap();
    let found: Found = serde_json::from_slice(&answer).unwrap_or_else(|e| panic!("{e}: {ran:?}"));
    assert!(found.writes_inside, "{found:?}");
    assert!(found.granted.no_new_privileges && found.granted.resource_limits, "{found:?}");
    // What the kernel has, it gave; what it gave, holds.
    assert_eq!(found.granted.landlock != Landlock::None, kernel_has_landlock(), "{found:?}");
    if found.granted.landlock != Landlock::None {
        assert!(!found.writes_outside && !found.reads_outside, "{found:?}");
    }
    if found.granted.seccomp {
        assert!(!found.links && !found.runs && !found.connects && !found.sends, "{found:?}");
    }
}

/// Zeros, counted as they are read.
struct Zeros(AtomicU64);

impl crate::source::Bytes for Zeros {
    fn read_at(&self, buf: &mut [u8], _: u64) -> std::io::Result<usize> {
        buf.fill(0);
        self.0.fetch_add(buf.len() as u64, Ordering::Relaxed);
        Ok(buf.len())
    }
}

/// Not a test unless it was started as the probe of one.
#[test]
fn refusing_probe() {
    let Some(folder) = std::env::var_os(REFUSING).map(PathBuf::from) else { return };
    let place = bonfire_disk::fs::real(&folder.join("staging")).unwrap();
    let place = Staging::new(place, bonfire_disk::fs::FsPath::root()).unwrap();
    let zeros = Arc::new(Zeros(AtomicU64::new(0)));
    let archive = ArchiveFile {
        name: "game.eti".into(),
        format: crate::format::Format::Rar,
        parts: vec![crate::source::Source::new(vec![(Arc::<Zeros>::clone(&zeros), 256 << 20)])],
        other_reader: Some(folder.join("reader")),
    };
    assert!(linux::filter(true));
    let e = job::extract(&[archive], &Limits::default(), Arc::new(place), Arc::new(Unattended)).unwrap_err();
    assert!(matches!(e.why, Why::Name(_)), "{e}");
    std::fs::write(folder.join("answer"), zeros.0.load(Ordering::Relaxed).to_string()).unwrap();
}

#[test]
fn a_program_whose_output_is_refused_is_fed_no_more_by_a_process_that_may_end_none() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("staging")).unwrap();
    let mut header = tar::Header::new_ustar();
    header.as_mut_bytes()[..9].copy_from_slice(b"../escape");
    header.set_size(0);
    header.set_cksum();
    std::fs::write(folder.path().join("out"), header.as_bytes()).unwrap();
    // Takes what there is only when it sees that nobody reads it any more.
    let text = format!(
        "#!/bin/sh\ntrap '' PIPE\n/bin/cat '{}'\nwhile printf x 2>/dev/null; do :; done\n/bin/cat >/dev/null\n",
        folder.path().join("out").display()
    );
    std::fs::write(folder.path().join("reader"), text).unwrap();
    std::fs::set_permissions(folder.path().join("reader"), std::fs::Permissions::from_mode(0o755)).unwrap();
    let ran = Command::new(std::env::current_exe().unwrap())
        .args(["sandbox::tests::refusing_probe", "--exact"])
        .env(REFUSING, folder.path())
        .output()
        .unwrap();
    let read = std::fs::read_to_string(folder.path().join("answer")).unwrap_or_else(|e| panic!("{e}: {ran:?}"));
    assert!(read.parse::<u64>().unwrap() < 4 << 20, "{read} bytes were read for nobody");
}
