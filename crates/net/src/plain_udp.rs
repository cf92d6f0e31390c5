//! A UDP socket without segmentation offload, for systems on which `quinn-udp` refuses to work (Wine).
//!
//! One datagram a call, no ECN, no path MTU discovery: correct, and slower by a factor of three or more.

use std::fmt;
use std::future::Future;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncTimer, AsyncUdpSocket, Runtime, TokioRuntime, UdpPoller};
use tokio::io::ReadBuf;

/// Tokio, with the plain socket where the fast one is refused.
#[derive(Debug)]
pub(crate) struct LanRuntime;

impl Runtime for LanRuntime {
    fn new_timer(&self, i: Instant) -> Pin<Box<dyn AsyncTimer>> {
        TokioRuntime.new_timer(i)
    }

    fn spawn(&self, future: Pin<Box<dyn Future<Output = ()> + Send>>) {
        TokioRuntime.spawn(future);
    }

    fn wrap_udp_socket(&self, socket: std::net::UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        let spare = socket.try_clone()?;
        match TokioRuntime.wrap_udp_socket(socket) {
            Ok(fast) => Ok(fast),
            Err(e) => {
                tracing::warn!(error = %e, "the system refuses fast UDP; using plain UDP, which is slower");
                Ok(Arc::new(PlainUdp { io: tokio::net::UdpSocket::from_std(spare)? }))
            }
        }
    }

    fn now(&self) -> Instant {
        TokioRuntime.now()
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct PlainUdp {
    io: tokio::net::UdpSocket,
}

impl PlainUdp {
    #[cfg(test)]
    pub(crate) fn new(socket: std::net::UdpSocket) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        Ok(Self { io: tokio::net::UdpSocket::from_std(socket)? })
    }
}

impl AsyncUdpSocket for PlainUdp {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(PlainPoller { socket: self, waiting: None })
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        // `max_transmit_segments` is 1, so there is never more than one datagram in it.
        self.io.try_send_to(transmit.contents, transmit.destination).map(|_| ())
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let (Some(buf), Some(meta)) = (bufs.first_mut(), meta.first_mut()) else { return Poll::Ready(Ok(0)) };
        loop {
            let mut into = ReadBuf::new(buf);
            match ready!(self.io.poll_recv_from(cx, &mut into)) {
                Ok(addr) => {
                    let len = into.filled().len();
                    *meta = RecvMeta::default();
                    (meta.addr, meta.len, meta.stride) = (addr, len, len);
                    return Poll::Ready(Ok(1));
                }
                // Windows reports an ICMP "port unreachable" of an earlier send here; it says nothing about this socket.
                Err(e) if e.kind() == io::ErrorKind::ConnectionReset => {}
                Err(e) => return Poll::Ready(Err(e)),
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.io.local_addr()
    }
}

type Writable = Pin<Box<dyn Future<Output = io::Result<()>> + Send + Sync>>;

/// A future of its own for each waiter: the socket's poll functions remember one waker only.
struct PlainPoller {
    socket: Arc<PlainUdp>,
    waiting: Option<Writable>,
}

impl fmt::Debug for PlainPoller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PlainPoller").finish_non_exhaustive()
    }
}

impl UdpPoller for PlainPoller {
    fn poll_writable(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let socket = self.socket.clone();
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(async move { socket.io.writable().await }));
        let result = ready!(waiting.as_mut().poll(cx));
        self.waiting = None;
        Poll::Ready(result)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

    use super::*;
    use crate::{Endpoint, Identity, Tuning};

    fn plain(seed: u8) -> Endpoint {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let socket = Arc::new(PlainUdp::new(socket).unwrap());
        let identity = Identity::from_seed([seed; 32]);
        Endpoint::over(identity, socket, Arc::new(LanRuntime), u64::from(seed), Tuning::default()).unwrap()
    }

    #[tokio::test]
    async fn carries_a_connection_without_the_fast_path() {
        let (a, b) = (plain(1), plain(2));
        let there = b.local_addr().unwrap();
        let (dialed, accepted) =
            tokio::join!(a.connect(there, Some(b.peer_id())), async { b.accept().await.unwrap().handshake().await });
        let (dialed, accepted) = (dialed.unwrap(), accepted.unwrap());
        assert_eq!((dialed.peer_id(), accepted.peer_id()), (b.peer_id(), a.peer_id()));
    }
}
