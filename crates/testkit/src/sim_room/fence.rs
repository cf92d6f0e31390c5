//! What stands between a peer and its simulated machine, so that a power cut ends both: after the fall of the fence the
//! dead peer's tasks reach neither disk nor network, however long they take to end.

use std::fmt;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use bonfire_disk::fs::{Entry, Fs, FsFile, FsPath, Meta, OpenMode};
use bonfire_net::{Announcement, Discovery, NetError};
use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, UdpPoller};

/// Words in every error of a fallen fence, by which a dead peer's complaints are told from a living one's.
pub(super) const POWER_CUT: &str = "the simulated machine has no power";

/// Whether a machine has power. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct Power(Arc<AtomicBool>);

impl Power {
    pub(super) fn on() -> Self {
        Self(Arc::new(AtomicBool::new(true)))
    }

    pub(super) fn cut(&self) {
        self.0.store(false, Ordering::SeqCst);
    }

    pub(super) fn is_on(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }

    fn check(&self) -> io::Result<()> {
        if self.is_on() { Ok(()) } else { Err(io::Error::other(POWER_CUT)) }
    }
}

/// A file system behind the fence.
#[derive(Debug, Clone)]
pub(super) struct FencedFs {
    pub(super) fs: Arc<dyn Fs>,
    pub(super) power: Power,
}

impl FencedFs {
    fn file(&self, file: io::Result<Box<dyn FsFile>>) -> io::Result<Box<dyn FsFile>> {
        Ok(Box::new(FencedFile { file: file?, power: self.power.clone() }))
    }
}

impl Fs for FencedFs {
    fn stat(&self, path: &FsPath) -> io::Result<Option<Meta>> {
        self.power.check()?;
        self.fs.stat(path)
    }

    fn list(&self, dir: &FsPath) -> io::Result<Vec<Entry>> {
        self.power.check()?;
        self.fs.list(dir)
    }

    fn create_dir(&self, path: &FsPath) -> io::Result<()> {
        self.power.check()?;
        self.fs.create_dir(path)
    }

    fn open_read(&self, path: &FsPath) -> io::Result<Box<dyn FsFile>> {
        self.power.check()?;
        self.file(self.fs.open_read(path))
    }

    fn open_write(&self, path: &FsPath, mode: OpenMode) -> io::Result<Box<dyn FsFile>> {
        self.power.check()?;
        self.file(self.fs.open_write(path, mode))
    }

    fn rename(&self, from: &FsPath, to: &FsPath) -> io::Result<()> {
        self.power.check()?;
        self.fs.rename(from, to)
    }

    fn remove_file(&self, path: &FsPath) -> io::Result<()> {
        self.power.check()?;
        self.fs.remove_file(path)
    }

    fn remove_dir(&self, path: &FsPath) -> io::Result<()> {
        self.power.check()?;
        self.fs.remove_dir(path)
    }

    fn names_may_change(&self, dir: &FsPath) -> io::Result<()> {
        self.power.check()?;
        self.fs.names_may_change(dir)
    }

    fn sync_dir(&self, path: &FsPath) -> io::Result<()> {
        self.power.check()?;
        self.fs.sync_dir(path)
    }

    fn sync_everything(&self, path: &FsPath) -> io::Result<bool> {
        self.power.check()?;
        self.fs.sync_everything(path)
    }

    fn free_space(&self) -> io::Result<u64> {
        self.power.check()?;
        self.fs.free_space()
    }
}

#[derive(Debug)]
struct FencedFile {
    file: Box<dyn FsFile>,
    power: Power,
}

impl FsFile for FencedFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.power.check()?;
        self.file.read_at(buf, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        self.power.check()?;
        self.file.write_at(bytes, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.power.check()?;
        self.file.set_len(len)
    }

    fn allocate(&self, len: u64) -> io::Result<bool> {
        self.power.check()?;
        self.file.allocate(len)
    }

    fn sync(&self) -> io::Result<()> {
        self.power.check()?;
        self.file.sync()
    }

    fn try_lock(&self) -> io::Result<bool> {
        self.power.check()?;
        self.file.try_lock()
    }

    fn links(&self) -> io::Result<u64> {
        self.power.check()?;
        self.file.links()
    }

    fn stat(&self) -> io::Result<Meta> {
        self.power.check()?;
        self.file.stat()
    }

    fn set_mtime(&self, ms: i64) -> io::Result<()> {
        self.power.check()?;
        self.file.set_mtime(ms)
    }
}

/// A socket behind the fence: without power it swallows what is sent and hears nothing.
pub(super) struct FencedSocket {
    pub(super) socket: Arc<dyn AsyncUdpSocket>,
    pub(super) power: Power,
    /// Whether datagrams beyond 1,200 bytes get through, so that larger ones are tried.
    pub(super) jumbo: bool,
}

impl fmt::Debug for FencedSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FencedSocket").field("socket", &self.socket).finish_non_exhaustive()
    }
}

impl AsyncUdpSocket for FencedSocket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        self.socket.clone().create_io_poller()
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        if self.power.is_on() { self.socket.try_send(transmit) } else { Ok(()) }
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        if self.power.is_on() { self.socket.poll_recv(cx, bufs, meta) } else { Poll::Pending }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    fn may_fragment(&self) -> bool {
        !self.jumbo
    }
}

/// Discovery behind the fence: a dead peer takes nothing back.
pub(super) struct FencedDiscovery {
    pub(super) air: Arc<dyn Discovery>,
    pub(super) power: Power,
}

impl Discovery for FencedDiscovery {
    fn announce(&self, announcement: &Announcement) -> Result<(), NetError> {
        if self.power.is_on() { self.air.announce(announcement) } else { Ok(()) }
    }

    fn shutdown(&self) {
        if self.power.is_on() {
            self.air.shutdown();
        }
    }
}
