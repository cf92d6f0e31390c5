//! A decoder on a thread of its own: it decodes on while what it gave is written.
//!
//! Buffers go round: the reader gives each back. A failure of the decoder arrives at the reader after all bytes that came
//! before it.

use std::io::{self, Read};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

/// Bytes handed over at once.
const BUFFER: usize = 512 << 10;
/// Buffers under way: one being filled, one being written, two between.
const BUFFERS: usize = 4;

/// Runs `read` over what `decoder` gives, the decoder on another thread.
pub(super) fn through<T>(mut decoder: impl Read + Send, read: impl FnOnce(&mut dyn Read) -> T) -> T {
    let (full, from) = sync_channel::<io::Result<Vec<u8>>>(BUFFERS);
    let (back, empty) = sync_channel::<Vec<u8>>(BUFFERS);
    std::thread::scope(|scope| {
        let decoding = scope.spawn(move || run(&mut decoder, &full, &empty));
        // The reader and its ends of the channels are gone before the thread is waited for, so the thread ends.
        let out = read(&mut Piped { from, back, now: Vec::new(), at: 0, is_over: false });
        if let Err(panic) = decoding.join() {
            std::panic::resume_unwind(panic);
        }
        out
    })
}

fn run(decoder: &mut dyn Read, full: &SyncSender<io::Result<Vec<u8>>>, empty: &Receiver<Vec<u8>>) {
    let mut made = 0;
    loop {
        let mut buffer = match empty.try_recv() {
            Ok(buffer) => buffer,
            Err(_) if made < BUFFERS => {
                made += 1;
                vec![0; BUFFER]
            }
            Err(_) => match empty.recv() {
                Ok(buffer) => buffer,
                Err(_) => return,
            },
        };
        buffer.resize(BUFFER, 0);
        let (mut len, mut end) = (0, None);
        while len < buffer.len() {
            match decoder.read(&mut buffer[len..]) {
                Ok(0) => {
                    end = Some(Ok(Vec::new()));
                    break;
                }
                Ok(n) => len += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => {
                    end = Some(Err(e));
                    break;
                }
            }
        }
        buffer.truncate(len);
        if len > 0 && full.send(Ok(buffer)).is_err() {
            return;
        }
        if let Some(end) = end {
            // Nobody left to hear it means that nobody wants it.
            drop(full.send(end));
            return;
        }
    }
}

struct Piped {
    from: Receiver<io::Result<Vec<u8>>>,
    back: SyncSender<Vec<u8>>,
    now: Vec<u8>,
    at: usize,
    is_over: bool,
}

impl Read for Piped {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.at == self.now.len() && !self.is_over {
            let done = std::mem::take(&mut self.now);
            if done.capacity() > 0 {
                // A decoder that has ended takes none back.
                drop(self.back.try_send(done));
            }
            self.at = 0;
            match self.from.recv() {
                Ok(Ok(next)) => {
                    self.is_over = next.is_empty();
                    self.now = next;
                }
                Ok(Err(e)) => {
                    self.is_over = true;
                    return Err(e);
                }
                Err(_) => return Err(io::Error::other("the decoder ended without an end")),
            }
        }
        let n = buf.len().min(self.now.len() - self.at);
        buf[..n].copy_from_slice(&self.now[self.at..self.at + n]);
        self.at += n;
        Ok(n)
    }
}
