//! Where the `bonfire` program under test is.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The program: `BONFIRE_BIN` when set, else built beside this test in the same profile.
///
/// # Panics
/// When it cannot be built.
pub fn bonfire() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        if let Some(given) = std::env::var_os("BONFIRE_BIN") {
            return PathBuf::from(given);
        }
        let me = std::env::current_exe().unwrap();
        // target/<profile>/deps/<test> for tests, target/<profile>/<bin> for programs.
        let mut folder = me.parent().unwrap();
        if folder.ends_with("deps") {
            folder = folder.parent().unwrap();
        }
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut build = Command::new(cargo);
        build.args(["build", "--quiet", "-p", "bonfire-cli", "--bin", "bonfire"]);
        build.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
        if folder.ends_with("release") {
            build.arg("--release");
        }
        build.env("CARGO_TARGET_DIR", folder.parent().unwrap());
        assert!(build.status().unwrap().success(), "the bonfire program does not build");
        folder.join("bonfire")
    })
}

/// Whether strace is here. Where it is not, says loudly that `what` is skipped.
///
/// # Panics
/// When it is not although `CI` is set.
#[must_use]
pub fn has_strace(what: &str) -> bool {
    let is_here = std::process::Command::new("strace").arg("-V").output().is_ok_and(|out| out.status.success());
    if !is_here {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "CI needs strace: {what}");
        eprintln!("\n*** SKIPPED: {what}: no strace here ***\n");
    }
    is_here
}
