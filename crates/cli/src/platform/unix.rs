//! Unix: a socket in the data folder, modes 0700 and 0600, SIGINT and SIGTERM, and what a game gets of them.

use std::fs::{DirBuilder, Permissions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, PermissionsExt};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use bonfire_engine::places::Places;
use bonfire_engine::places::facts::FactError;
use bonfire_engine::{ErrorClass, Report};
use etcetera::BaseStrategy;
use socket2::Socket;
use tokio::net::{UnixListener, UnixStream};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The file that names the holder of the lock: the lock file itself, for locks do not stop readers here.
pub(crate) const HOLDER_NOTE: &str = "lock";

/// Longest socket path in bytes: systems stop at 104 (macOS) or 108 (Linux), the end mark included.
const SOCKET_PATH_MAX: usize = 100;

/// A client's end of the control channel.
pub(crate) type ClientStream = UnixStream;

/// Adds to a command line what is not to be quoted; here every argument is a text of its own.
pub(crate) fn add_raw(command: &mut tokio::process::Command, raw: &str) {
    command.arg(raw);
}

/// The file of this program, to start it once more. On Linux what runs is meant also where the file was replaced since.
///
/// # Errors
/// When the system does not tell.
pub(crate) fn own_program() -> io::Result<PathBuf> {
    let running = Path::new("/proc/self/exe");
    if cfg!(target_os = "linux") && running.exists() { Ok(running.to_owned()) } else { std::env::current_exe() }
}

/// Makes a folder with mode 0700, or tightens one that is ours.
///
/// # Errors
/// When it cannot be made, or is open to others and holds things that are not ours.
pub(crate) fn make_private_folder(dir: &Path) -> Result<(), Report> {
    let failed = |doing: &str, e: io::Error| {
        Report::new(ErrorClass::Environment, "data_folder", format!("cannot {doing} {}: {e}", dir.display()))
            .hint("choose a folder that you can write to with --data-dir")
    };
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(|e| failed("make the data folder", e))?;
    let mode = std::fs::metadata(dir).map_err(|e| failed("read the data folder", e))?.permissions().mode();
    if mode & 0o077 == 0 {
        return Ok(());
    }
    let is_ours = dir.join("lock").is_file()
        || std::fs::read_dir(dir).map_err(|e| failed("read the data folder", e))?.next().is_none();
    if !is_ours {
        return Err(Report::new(
            ErrorClass::Refused,
            "data_folder_open",
            format!("{} is open to other users and holds other files", dir.display()),
        )
        .hint("choose an empty folder with --data-dir, or close this one with chmod 700"));
    }
    std::fs::set_permissions(dir, Permissions::from_mode(0o700)).map_err(|e| failed("close the data folder", e))
}

fn socket_path(data_dir: &Path) -> io::Result<PathBuf> {
    let path = data_dir.join("control.sock");
    let len = path.as_os_str().as_bytes().len();
    if len > SOCKET_PATH_MAX {
        return Err(io::Error::new(
            io::ErrorKind::InvalidFilename,
            format!(
                "the path of the control socket has {len} bytes, the system takes {SOCKET_PATH_MAX}: use a shorter \
                 --data-dir"
            ),
        ));
    }
    Ok(path)
}

/// Listens for clients; removes its socket when dropped.
#[derive(Debug)]
pub(crate) struct Listener {
    listener: UnixListener,
    path: PathBuf,
}

impl Listener {
    /// Binds the control socket with mode 0600. The caller holds the folder's lock, so a socket that is there is stale.
    pub(crate) fn bind(data_dir: &Path) -> io::Result<Self> {
        let path = socket_path(data_dir)?;
        match std::fs::symlink_metadata(&path) {
            Ok(found) if found.file_type().is_socket() => std::fs::remove_file(&path)?,
            Ok(_) => return Err(io::Error::new(io::ErrorKind::AlreadyExists, "it is there and is no socket")),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(e),
        }
        let listener = UnixListener::bind(&path)?;
        // Until here only the folder's mode keeps others out.
        std::fs::set_permissions(&path, Permissions::from_mode(0o600))?;
        Ok(Self { listener, path })
    }

    /// The next client.
    pub(crate) async fn accept(&mut self) -> io::Result<UnixStream> {
        self.listener.accept().await.map(|(stream, _)| stream)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Err(e) = std::fs::remove_file(&self.path) {
            tracing::debug!(error = %e, "the control socket could not be removed");
        }
    }
}

/// Connects to the peer that serves this data folder.
pub(crate) async fn connect(data_dir: &Path) -> io::Result<ClientStream> {
    UnixStream::connect(socket_path(data_dir)?).await
}

/// SIGINT and SIGTERM.
#[derive(Debug)]
pub(crate) struct StopSignals {
    interrupt: Signal,
    terminate: Signal,
}

impl StopSignals {
    /// Starts to listen; from here on the signals no longer end the process by themselves.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    /// Waits for the next one.
    pub(crate) async fn recv(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// A signal that came while a game was played.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Passed(rustix::process::Signal);

impl Passed {
    /// Gives it to the game as well.
    pub(crate) fn pass_on(self, pid: u32) {
        let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
        let Some(pid) = pid else { return };
        if let Err(error) = rustix::process::kill_process(pid, self.0) {
            tracing::debug!(%error, "the game could not be told of a signal");
        }
    }
}

/// The signals that would end this process while it waits for a game.
#[derive(Debug)]
pub(crate) struct GameSignals {
    interrupt: Signal,
    quit: Signal,
    hangup: Signal,
    terminate: Signal,
    /// Whether the game gets what is typed from the terminal itself, so that passing it on would tell it twice.
    has_terminal: bool,
}

impl GameSignals {
    /// Starts to listen; from here on none of them ends the process.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
            hangup: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            has_terminal: std::fs::File::open("/dev/tty").is_ok(),
        })
    }

    /// Waits for the next one; nothing when the game has got it already.
    pub(crate) async fn recv(&mut self) -> Option<Passed> {
        use rustix::process::Signal;
        let (signal, is_typed) = tokio::select! {
            _ = self.interrupt.recv() => (Signal::INT, true),
            _ = self.quit.recv() => (Signal::QUIT, true),
            _ = self.hangup.recv() => (Signal::HUP, true),
            _ = self.terminate.recv() => (Signal::TERM, false),
        };
        (!is_typed || !self.has_terminal).then_some(Passed(signal))
    }
}

/// The exit code of a game: its own, or 128 and the number of the signal that ended it.
pub(crate) fn ended_with(status: ExitStatus) -> i32 {
    status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(1)
}

/// The host's name.
pub(crate) fn host_name() -> Option<String> {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    (!name.is_empty()).then_some(name)
}

/// What a person types to make this folder.
pub(crate) fn make_folder_command(dir: &Path) -> String {
    let dir = dir.display().to_string();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+,@%".contains(c);
    if dir.chars().all(is_plain) {
        format!("mkdir -p {dir}")
    } else {
        format!("mkdir -p '{}'", dir.replace('\'', "'\\''"))
    }
}

/// Lets a socket be bound to a port that others hold and share, as every program that speaks mDNS does.
pub(crate) fn share_port(socket: &Socket) -> io::Result<()> {
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)
}

/// Where programs keep data of this user on this machine.
pub(crate) fn local_data_dir() -> Option<PathBuf> {
    etcetera::choose_base_strategy().ok().map(|s| s.data_dir())
}

/// Whether games built for Windows run here in prefixes of Wine or Proton.
pub(crate) const HAS_PREFIXES: bool = true;

/// Where games built for this system keep their things.
///
/// # Errors
/// When the environment names a folder that is none.
pub(crate) fn native_places() -> Result<Places, FactError> {
    Places::linux(&|name| std::env::var(name).ok())
}
