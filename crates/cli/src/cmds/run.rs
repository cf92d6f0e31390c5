//! `bonfire run`: holds the data folder, runs the peer, serves the control channel, and with `--json` speaks commands
//! and events over stdin and stdout. Stops in order.

mod people;
mod scripts;

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bonfire_engine::command::{Command, NodeCommand};
use bonfire_engine::{ErrorClass, Report};
use bonfire_peer::{PeerConfig, PeerHandle};
use bonfire_proto::text::clean;
use bonfire_unpack::{Unpacker, find_bsdtar};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::args::{DEFAULT_PORT, RunArgs};
use crate::cmds::play;
use crate::control::server::serve;
use crate::exit::{Exit, Failure};
use crate::folders;
use crate::instance::Instance;
use crate::platform::{self, Listener, StopSignals};
use crate::progress::signals_failed;
use crate::render::Out;

/// How long a peer may take to stop in order.
const STOP_TIMEOUT: Duration = Duration::from_secs(15);

pub(crate) async fn run(out: &Out, data_dir: &Path, args: RunArgs) -> Result<Exit, Failure> {
    let mut signals = StopSignals::new().map_err(signals_failed)?;
    let _instance = Instance::take(data_dir)?;
    let games_dir = games_dir(data_dir, args.games_dir.as_deref())?;
    if let Err(error) = play::remember_games_dir(data_dir, &games_dir) {
        tracing::warn!("`bonfire play` will not know the games folder when no peer runs: {error}");
    }
    let listener = Listener::bind(data_dir).map_err(|e| {
        let message = format!("cannot open the control channel in {}: {e}", data_dir.display());
        Report::new(ErrorClass::Environment, "control_channel", message)
    })?;
    let config = PeerConfig {
        games_dir,
        data_dir: data_dir.to_path_buf(),
        listen: args.listen.unwrap_or_else(|| free_address(out)),
        name: clean(&args.name.or_else(platform::host_name).unwrap_or_else(|| "bonfire".to_owned())),
        static_peers: args.peers,
        mdns: !args.no_mdns,
        unpacker: unpacker(),
    };
    let peer = tokio::select! {
        started = bonfire_peer::start(config) => started?,
        () = signals.recv() => return Ok(Exit::Done),
    };
    // Before any client can: the first to ask gets the events from the very first one.
    let events = peer.events();
    let stop = CancellationToken::new();
    let server = tokio::spawn(serve(listener, peer.clone(), stop.clone()));
    let stdin = (out.is_json() || args.until_eof).then(scripts::read_stdin);
    let front = if out.is_json() {
        tokio::spawn(scripts::speak(peer.clone(), events, stdin, args.until_eof, stop.clone()))
    } else {
        tokio::spawn(people::tell(*out, peer.clone(), events, stdin, stop.clone()))
    };
    let ended = until_stopped(out, &peer, &mut signals).await;
    stop.cancel();
    for (task, what) in [(server, "control channel"), (front, "output")] {
        match timeout(STOP_TIMEOUT, task).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, what, "a task failed"),
            Err(_) => tracing::warn!(what, "did not stop in time"),
        }
    }
    ended
}

/// This program once more, as the process that reads archives.
fn unpacker() -> Option<Unpacker> {
    match platform::own_program() {
        Ok(program) => Some(Unpacker::new(program, vec![crate::UNPACK.into()]).with_bsdtar(find_bsdtar())),
        Err(error) => {
            tracing::warn!("archives cannot be unpacked: this program's own file is not known: {error}");
            None
        }
    }
}

/// Waits until the peer has stopped, passing on the first stop signal; the second one ends the process at once. A peer
/// that stopped by itself, because it cannot keep its state, is a failure.
async fn until_stopped(out: &Out, peer: &PeerHandle, signals: &mut StopSignals) -> Result<Exit, Failure> {
    tokio::select! {
        stopped = peer.stopped() => return done(stopped),
        () = signals.recv() => {}
    }
    if !out.is_json() {
        out.talk("stopping; again to stop at once");
    }
    let stopper = peer.clone();
    let asked = tokio::spawn(async move { stopper.send(Command::Peer(NodeCommand::ShutDown)).await });
    tokio::select! {
        stopped = timeout(STOP_TIMEOUT, peer.stopped()) => match stopped {
            Ok(stopped) => done(stopped),
            Err(_) => {
                let asked = asked.is_finished();
                tracing::error!(asked, "the peer did not stop in time");
                Ok(Exit::Failed)
            }
        },
        () = signals.recv() => Ok(Exit::Cancelled),
    }
}

fn done(stopped: Result<(), Report>) -> Result<Exit, Failure> {
    stopped.map_err(|mut fault| {
        if fault.hint.is_empty() {
            "nothing of the games is lost; see that the data folder can be written, then start again"
                .clone_into(&mut fault.hint);
        }
        fault
    })?;
    Ok(Exit::Done)
}

/// The games folder: a default one is made, a named one must be there, for a missing one is most likely a typing error
/// or a disk that is not mounted.
fn games_dir(data_dir: &Path, given: Option<&Path>) -> Result<PathBuf, Failure> {
    let report = |class, e: &dyn std::fmt::Display, dir: &Path| {
        Report::new(class, "games_folder", format!("cannot use the games folder {}: {e}", dir.display()))
    };
    let Some(given) = given else {
        let dir = data_dir.join("games");
        std::fs::create_dir_all(&dir).map_err(|e| report(ErrorClass::Environment, &e, &dir))?;
        return Ok(dir);
    };
    let dir = folders::absolute(given)?;
    match std::fs::metadata(&dir) {
        Ok(found) if found.is_dir() => Ok(dir),
        Ok(_) => Err(report(ErrorClass::Environment, &"it is not a folder", &dir).into()),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            Err(report(ErrorClass::NotFound, &"it is not there", &dir)
                .hint(format!("mount the disk that holds it, or make it with: {}", platform::make_folder_command(&dir)))
                .into())
        }
        Err(e) => Err(report(ErrorClass::Environment, &e, &dir).into()),
    }
}

/// The default address, or any free port when another program has taken it. Without IPv6, the IPv4 one.
fn free_address(out: &Out) -> SocketAddr {
    let any = if UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).is_ok() {
        Ipv6Addr::UNSPECIFIED.into()
    } else {
        Ipv4Addr::UNSPECIFIED.into()
    };
    let wanted = SocketAddr::new(any, DEFAULT_PORT);
    if UdpSocket::bind(wanted).is_ok() {
        return wanted;
    }
    out.talk(&format!("port {DEFAULT_PORT} is taken; listening on another one"));
    SocketAddr::new(any, 0)
}
