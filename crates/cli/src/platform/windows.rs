//! Windows: a named pipe derived from the data folder, Ctrl-C and the console's closing. Folders in the user's profile
//! are private by inheritance.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use bonfire_engine::places::Places;
use bonfire_engine::places::facts::FactError;
use bonfire_engine::{ErrorClass, Report};
use etcetera::BaseStrategy;
use socket2::Socket;
use tokio::net::windows::named_pipe::{ClientOptions, NamedPipeClient, NamedPipeServer, ServerOptions};
use tokio::signal::windows::{CtrlC, CtrlClose, CtrlShutdown, ctrl_c, ctrl_close, ctrl_shutdown};

/// The file that names the holder of the lock: not the lock file, for a locked file cannot be read by others here.
pub(crate) const HOLDER_NOTE: &str = "lock.pid";

/// All instances of the pipe are taken for the moment.
const ERROR_PIPE_BUSY: i32 = 231;

/// A client's end of the control channel.
pub(crate) type ClientStream = NamedPipeClient;

/// Adds to a command line what is not to be quoted.
pub(crate) fn add_raw(command: &mut tokio::process::Command, raw: &str) {
    command.raw_arg(raw);
}

/// The file of this program, to start it once more.
///
/// # Errors
/// When the system does not tell.
pub(crate) fn own_program() -> io::Result<PathBuf> {
    std::env::current_exe()
}

/// Makes a folder.
///
/// # Errors
/// When it cannot be made.
pub(crate) fn make_private_folder(dir: &Path) -> Result<(), Report> {
    std::fs::create_dir_all(dir).map_err(|e| {
        Report::new(
            ErrorClass::Environment,
            "data_folder",
            format!("cannot make the data folder {}: {e}", dir.display()),
        )
        .hint("choose a folder that you can write to with --data-dir")
    })
}

fn pipe_name(data_dir: &Path) -> io::Result<String> {
    let canonical = data_dir.canonicalize()?;
    let folded = canonical.to_string_lossy().to_lowercase();
    Ok(format!(r"\\.\pipe\bonfire-{}", &blake3::hash(folded.as_bytes()).to_hex()[..32]))
}

/// Listens for clients.
#[derive(Debug)]
pub(crate) struct Listener {
    name: String,
    next: NamedPipeServer,
}

impl Listener {
    /// Makes the first instance of the pipe; fails when someone else has made one with this name.
    pub(crate) fn bind(data_dir: &Path) -> io::Result<Self> {
        let name = pipe_name(data_dir)?;
        let next = ServerOptions::new().first_pipe_instance(true).reject_remote_clients(true).create(&name)?;
        Ok(Self { name, next })
    }

    /// The next client.
    pub(crate) async fn accept(&mut self) -> io::Result<NamedPipeServer> {
        self.next.connect().await?;
        let fresh = ServerOptions::new().reject_remote_clients(true).create(&self.name)?;
        Ok(std::mem::replace(&mut self.next, fresh))
    }
}

/// Connects to the peer that serves this data folder.
pub(crate) async fn connect(data_dir: &Path) -> io::Result<ClientStream> {
    let name = pipe_name(data_dir)?;
    for _ in 0..20 {
        match ClientOptions::new().open(&name) {
            Err(e) if e.raw_os_error() == Some(ERROR_PIPE_BUSY) => {
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
            other => return other,
        }
    }
    ClientOptions::new().open(&name)
}

/// Ctrl-C, the closing of the console, the end of the session.
#[derive(Debug)]
pub(crate) struct StopSignals {
    interrupt: CtrlC,
    close: CtrlClose,
    shutdown: CtrlShutdown,
}

impl StopSignals {
    /// Starts to listen; from here on Ctrl-C does not end the process by itself.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self { interrupt: ctrl_c()?, close: ctrl_close()?, shutdown: ctrl_shutdown()? })
    }

    /// Waits for the next one.
    pub(crate) async fn recv(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.close.recv() => {}
            _ = self.shutdown.recv() => {}
        }
    }
}

/// What a game would have to be told; nothing here, for the console tells every program that is attached to it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Passed;

impl Passed {
    /// Gives it to the game as well.
    #[expect(clippy::unused_self, reason = "other systems pass a signal on")]
    pub(crate) fn pass_on(self, _pid: u32) {}
}

/// What would end this process while it waits for a game.
#[derive(Debug)]
pub(crate) struct GameSignals {
    stop: StopSignals,
}

impl GameSignals {
    /// Starts to listen; from here on Ctrl-C does not end the process.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self { stop: StopSignals::new()? })
    }

    /// Waits for the next one; nothing, because the game has got it already.
    pub(crate) async fn recv(&mut self) -> Option<Passed> {
        self.stop.recv().await;
        None
    }
}

/// The exit code of a game.
pub(crate) fn ended_with(status: ExitStatus) -> i32 {
    status.code().unwrap_or(1)
}

/// The host's name.
pub(crate) fn host_name() -> Option<String> {
    std::env::var("COMPUTERNAME").ok().filter(|name| !name.is_empty())
}

/// What a person types to make this folder, with those above it.
pub(crate) fn make_folder_command(dir: &Path) -> String {
    format!("mkdir \"{}\"", dir.display())
}

/// Lets a socket be bound to a port that others hold and share, as every program that speaks mDNS does.
pub(crate) fn share_port(socket: &Socket) -> io::Result<()> {
    socket.set_reuse_address(true)
}

/// Where programs keep data of this user on this machine: the local folder, because a database must not roam.
pub(crate) fn local_data_dir() -> Option<PathBuf> {
    etcetera::choose_base_strategy().ok().map(|s| s.cache_dir())
}

/// Whether games built for Windows run here in prefixes of Wine or Proton.
pub(crate) const HAS_PREFIXES: bool = false;

/// Where games built for this system keep their things.
///
/// # Errors
/// When the environment names a folder that is none.
pub(crate) fn native_places() -> Result<Places, FactError> {
    Places::windows(&|name| std::env::var(name).ok())
}
