//! What a restricted process can still do, tried in a process of its own.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::net::{TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::restrict;
use crate::limits::Limits;
use crate::protocol::{Granted, Landlock};

const PROBE: &str = "BONFIRE_SANDBOX_PROBE";

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
