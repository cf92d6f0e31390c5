//! 2 GiB from one namespace to another, in turn by Bonfire and by what else a user would take.
//!
//! Source and target lie in memory (tmpfs), so that the page cache is warm and no disk is measured. Every tool runs once
//! a round, round after round, and ratios are taken within a round.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bonfire_tests::games::{MIB, Recipe};
use bonfire_tests::peer::Peer;
use bonfire_tests::{Room, child};

use crate::figures::{cpu_of, cpu_of_children, median, spread};

const PATIENCE: Duration = Duration::from_secs(300);

/// One run of one tool.
#[derive(Clone, Copy)]
struct Run {
    seconds: f64,
    cpu: f64,
}

/// Does one run, or says that its tool is not here.
type Tool = fn(&mut Field) -> Option<Run>;

struct Field {
    a: Peer,
    b: Peer,
    memory: PathBuf,
    size: u64,
}

/// Compares with rsync (daemon), scp and a bare quinn stream.
pub(crate) fn against_others() {
    let Some(room) = Room::alone("bench-transfer") else { return };
    let gib: f64 = std::env::var("BONFIRE_GIB").ok().and_then(|n| n.parse().ok()).unwrap_or(2.0);
    let rounds: usize = std::env::var("BONFIRE_ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(5);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small positive number of GiB")]
    let mib = (gib * 1024.0) as u64;
    let memory = Memory::mount(&room.folder().join("memory"));
    let (mut a, mut b) = (room.seat("a"), room.seat("b"));
    a.games = memory.0.join("a");
    b.games = memory.0.join("b");
    std::fs::create_dir_all(&a.games).unwrap();
    std::fs::create_dir_all(&b.games).unwrap();
    eprintln!("making {gib} GiB");
    a.add_game(&Recipe::new("big", 0).files(&[("big.eti", mib * MIB)]));
    a.start();
    b.start();
    b.until("the game is read", PATIENCE, || b.remote_game(a.id(), "big").filter(|g| g["content_hash"].is_string()));
    let mut field = Field { a, b, memory: memory.0.clone(), size: mib * MIB };
    let tools: Vec<(&str, Tool)> =
        vec![("bonfire", bonfire), ("bare quinn stream", bare), ("rsync (daemon)", rsync), ("scp", scp)];
    let mut runs: Vec<Vec<Run>> = vec![Vec::new(); tools.len()];
    for round in 0..rounds {
        for (n, (name, tool)) in tools.iter().enumerate() {
            if let Some(run) = tool(&mut field) {
                eprintln!("round {round}: {name}: {:.2} s, {:.2} CPU s", run.seconds, run.cpu);
                runs[n].push(run);
            } else if round == 0 {
                eprintln!("{name}: not here, left out");
            }
        }
    }
    report(&tools.iter().map(|(name, _)| *name).collect::<Vec<_>>(), &runs, gib);
}

fn report(names: &[&str], runs: &[Vec<Run>], gib: f64) {
    println!("\n### {gib} GiB between two namespaces, in memory\n");
    println!("| tool | Gbit/s | CPU seconds a GiB, both sides | Bonfire's speed to this one's |\n|---|---|---|---|");
    for (name, own) in names.iter().zip(runs) {
        if own.is_empty() {
            println!("| {name} | not measured | | |");
            continue;
        }
        let speed: Vec<f64> = own.iter().map(|r| gib * 8.589_934_592 / r.seconds).collect();
        let cpu: Vec<f64> = own.iter().map(|r| r.cpu / gib).collect();
        let ratios: Vec<f64> = runs[0].iter().zip(own).map(|(ours, theirs)| theirs.seconds / ours.seconds).collect();
        println!("| {name} | {} | {:.2} | {} |", spread(&speed, 2), median(&cpu), spread(&ratios, 2));
    }
}

fn bonfire(field: &mut Field) -> Option<Run> {
    let before = cpu_of(field.a.pid()) + cpu_of(field.b.pid());
    let start = Instant::now();
    field.b.get("big");
    let phase = |name: &str| {
        field.b.expect(name, PATIENCE, |e| {
            e["operations"].as_array().is_some_and(|ops| ops.iter().any(|o| o["phase"] == name))
        });
        start.elapsed().as_secs_f64()
    };
    let (transferring, committing) = (phase("transferring"), phase("committing"));
    let end = field.b.expect("the end", PATIENCE, |e| {
        e["game"] == "big" && (e["type"] == "download_finished" || e["type"] == "download_failed")
    });
    let seconds = start.elapsed().as_secs_f64();
    let cpu = cpu_of(field.a.pid()) + cpu_of(field.b.pid()) - before;
    assert_eq!(end["type"], "download_finished", "{end}");
    eprintln!("first chunks asked for after {transferring:.2} s, last one there after {committing:.2} s");
    field.b.idle();
    field.b.mark();
    assert_eq!(field.b.cli(&["remove", "big"]).code, 0);
    field.b.until("removed", PATIENCE, || (!field.b.root("big").exists()).then_some(()));
    Some(Run { seconds, cpu })
}

/// A server in a's namespace, a client in b's; the CPU of both once both have ended.
fn served(field: &Field, server: &mut Command, port: u16, client: &mut Command, target: &Path) -> Run {
    let before = cpu_of_children();
    let mut running = server.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    field.b.until("the server listens", PATIENCE, || is_listening(field, port).then_some(()));
    let start = Instant::now();
    let out = child::run(client, b"", PATIENCE);
    let seconds = start.elapsed().as_secs_f64();
    stop(&mut running);
    assert!(out.status.success(), "{client:?}: {}", String::from_utf8_lossy(&out.stderr));
    assert_eq!(std::fs::metadata(target).unwrap().len(), field.size);
    std::fs::remove_file(target).unwrap();
    Run { seconds, cpu: cpu_of_children() - before }
}

fn is_listening(field: &Field, port: u16) -> bool {
    let wanted = format!(":{port:04X} ");
    field
        .a
        .link
        .namespace()
        .try_shell("cat /proc/net/tcp /proc/net/tcp6")
        .is_ok_and(|table| table.lines().any(|l| l.contains(&wanted) && l.contains(" 0A ")))
}

fn stop(server: &mut Child) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(server.id()).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    if child::wait_exit(server, Duration::from_secs(10)).is_none() {
        server.kill().unwrap();
        server.wait().unwrap();
    }
}

fn rsync(field: &mut Field) -> Option<Run> {
    let program = found("rsync")?;
    let config = field.memory.join("rsyncd.conf");
    let text = format!(
        "use chroot = no\nuid = root\ngid = root\n[games]\npath = {}\nread only = yes\n",
        field.a.root("big").display()
    );
    std::fs::write(&config, text).unwrap();
    let mut server = field.a.link.namespace().command(&program);
    server.args(["--daemon", "--no-detach", "--port=8730", "--config"]).arg(&config);
    let target = field.b.games.join("big.rsync");
    let mut client = field.b.link.namespace().command(&program);
    client.arg("rsync://10.77.0.1:8730/games/big.eti").arg(&target);
    Some(served(field, &mut server, 8730, &mut client, &target))
}

fn scp(field: &mut Field) -> Option<Run> {
    let (sshd, scp, keygen) = (found("sshd")?, found("scp")?, found("ssh-keygen")?);
    let key = field.memory.join("key");
    if !key.exists() {
        let mut make = Command::new(keygen);
        make.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key);
        assert!(child::run(&mut make, b"", PATIENCE).status.success());
        std::fs::copy(field.memory.join("key.pub"), field.memory.join("authorized_keys")).unwrap();
        std::fs::create_dir_all("/run/sshd").unwrap();
    }
    let mut server = field.a.link.namespace().command(&sshd);
    server.args(["-D", "-e", "-f", "/dev/null", "-p", "8722", "-h"]).arg(&key);
    for option in ["StrictModes=no", "PermitRootLogin=yes", "UsePAM=no", "PidFile=none"] {
        server.args(["-o", option]);
    }
    server.args(["-o", &format!("AuthorizedKeysFile={}", field.memory.join("authorized_keys").display())]);
    server.args(["-o", "Subsystem=sftp internal-sftp"]);
    let target = field.b.games.join("big.scp");
    let mut client = field.b.link.namespace().command(&scp);
    client.args(["-q", "-P", "8722", "-i"]).arg(&key);
    for option in ["StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "BatchMode=yes"] {
        client.args(["-o", option]);
    }
    client.arg(format!("root@10.77.0.1:{}", field.a.root("big").join("big.eti").display())).arg(&target);
    Some(served(field, &mut server, 8722, &mut client, &target))
}

/// Our own bare stream: `crates/net/examples/bare_stream.rs`, built beside this program or named by
/// `BONFIRE_BARE_STREAM`.
fn bare(field: &mut Field) -> Option<Run> {
    let program = std::env::var_os("BONFIRE_BARE_STREAM").map(PathBuf::from).or_else(|| {
        let beside = std::env::current_exe().ok()?.parent()?.join("examples/bare_stream");
        beside.exists().then_some(beside)
    })?;
    let before = cpu_of_children();
    let mut server = field.a.link.namespace().command(&program);
    server.args(["send", "0.0.0.0:8740"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut running = server.spawn().unwrap();
    field.b.until("the bare stream listens", PATIENCE, || {
        let sockets = field.a.link.namespace().try_shell("cat /proc/net/udp").unwrap_or_default();
        sockets.contains(&format!(":{:04X} ", 8740)).then_some(())
    });
    let mut client = field.b.link.namespace().command(&program);
    client.args(["recv", "10.77.0.1:8740", &field.size.to_string(), "4"]);
    let out = child::run(&mut client, b"", PATIENCE);
    stop(&mut running);
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    // Its own time: it lingers after the last byte to see the connection off.
    let line: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
    let seconds = line["seconds"].as_f64().unwrap();
    Some(Run { seconds, cpu: cpu_of_children() - before })
}

fn found(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|folder| folder.join(program))
        .find(|candidate| candidate.exists())
}

/// A file system in memory for both sides.
struct Memory(PathBuf);

impl Memory {
    fn mount(at: &Path) -> Self {
        std::fs::create_dir_all(at).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=9g", "tmpfs"]).arg(at);
        assert!(child::run(&mut mount, b"", PATIENCE).status.success());
        Self(at.to_owned())
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        let out = child::run(Command::new("umount").arg("-l").arg(&self.0), b"", PATIENCE);
        if !out.status.success() {
            eprintln!("cannot unmount {}", self.0.display());
        }
    }
}
