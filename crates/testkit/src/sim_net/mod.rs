//! A network in memory, in virtual time: datagrams are lost, doubled, delayed and cut off as a seed says.
//!
//! Runs on one thread under a paused Tokio clock. One driver task delivers by (time, sequence), all randomness comes from
//! one generator, and every verdict goes into a trace: the same seed gives the same trace. Counters show which faults
//! really fired. Knows nothing of what it carries.

mod discovery;
mod socket;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

pub use discovery::SimDiscovery;
pub use socket::{SimRuntime, SimSocket};

/// Datagrams that wait at one socket: more are dropped, as by a full socket buffer.
const INBOX_MAX: usize = 4096;

/// What goes wrong, and how often.
#[derive(Debug, Clone, PartialEq)]
pub struct Faults {
    /// Share of datagrams lost, 0 to 1.
    pub loss: f64,
    /// Share of datagrams delivered twice, 0 to 1.
    pub duplicate: f64,
    /// Shortest and longest way of a datagram. A wide range reorders.
    pub delay: (Duration, Duration),
}

impl Faults {
    /// A healthy LAN.
    #[must_use]
    pub const fn none() -> Self {
        Self { loss: 0.0, duplicate: 0.0, delay: (Duration::from_micros(200), Duration::from_micros(200)) }
    }

    /// Bad Wi-Fi.
    #[must_use]
    pub const fn rough() -> Self {
        Self { loss: 0.05, duplicate: 0.03, delay: (Duration::from_micros(200), Duration::from_millis(25)) }
    }
}

/// How often each thing happened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Datagrams handed over by senders.
    pub sent: u64,
    /// Datagrams put into an inbox.
    pub delivered: u64,
    /// Lost by chance.
    pub lost: u64,
    /// Delivered twice by chance.
    pub duplicated: u64,
    /// Arrived after one that was sent later on the same way.
    pub reordered: u64,
    /// Dropped by a cut or a partition.
    pub cut: u64,
    /// Sent to an address where nobody is.
    pub unreachable: u64,
    /// Dropped at a full inbox.
    pub overflowed: u64,
}

/// The network. Cheap to clone; all clones are the same one.
#[derive(Clone)]
pub struct SimNet {
    shared: Arc<Shared>,
}

impl fmt::Debug for SimNet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimNet").field("counts", &self.counts()).finish_non_exhaustive()
    }
}

struct Shared {
    state: Mutex<State>,
    /// Something was put on the way.
    sent: Notify,
    began: Instant,
}

struct State {
    random: Random,
    faults: Faults,
    inboxes: BTreeMap<SocketAddr, Inbox>,
    on_the_way: BTreeMap<(Instant, u64), Datagram>,
    sequence: u64,
    cuts: BTreeSet<(IpAddr, IpAddr)>,
    /// Highest sequence delivered on each way.
    newest: BTreeMap<(SocketAddr, SocketAddr), u64>,
    counts: Counts,
    trace: blake3::Hasher,
}

#[derive(Default)]
struct Inbox {
    waiting: VecDeque<Datagram>,
    reader: Option<Waker>,
}

#[derive(Clone)]
struct Datagram {
    from: SocketAddr,
    to: SocketAddr,
    order: u64,
    bytes: Vec<u8>,
}

/// What became of a datagram, as it stands in the trace.
#[derive(Debug, Clone, Copy)]
enum Verdict {
    OnTheWay = 0,
    Lost = 1,
    Doubled = 2,
    Cut = 3,
    Delivered = 4,
    Unreachable = 5,
    Overflowed = 6,
}

/// Runs a simulation: one thread, a paused clock that jumps to the next timer when nobody has anything to do.
///
/// # Panics
/// When the system gives no runtime.
pub fn simulate<F: Future>(run: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime without I/O needs nothing of the system")
        .block_on(run)
}

impl SimNet {
    /// An empty network. Must be called inside a current-thread runtime whose clock is paused.
    #[must_use]
    pub fn new(seed: u64, faults: Faults) -> Self {
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                random: Random(seed),
                faults,
                inboxes: BTreeMap::new(),
                on_the_way: BTreeMap::new(),
                sequence: 0,
                cuts: BTreeSet::new(),
                newest: BTreeMap::new(),
                counts: Counts::default(),
                trace: blake3::Hasher::new(),
            }),
            sent: Notify::new(),
            began: Instant::now(),
        });
        tokio::spawn(drive(shared.clone()));
        Self { shared }
    }

    /// A socket at an address. A socket that was there before hears nothing more: that is a crashed peer's.
    #[must_use]
    pub fn socket(&self, addr: SocketAddr) -> Arc<SimSocket> {
        self.shared.lock().inboxes.insert(addr, Inbox::default());
        Arc::new(SimSocket::new(self.clone(), addr))
    }

    /// Takes the socket at an address away, without a word to anyone.
    pub fn unplug(&self, addr: SocketAddr) {
        self.shared.lock().inboxes.remove(&addr);
    }

    /// The clock and spawner for endpoints on this network.
    #[must_use]
    pub fn runtime(&self) -> Arc<SimRuntime> {
        Arc::new(SimRuntime)
    }

    /// Changes what goes wrong from here on.
    pub fn set_faults(&self, faults: Faults) {
        self.shared.lock().faults = faults;
    }

    /// Cuts the link between two machines, both ways; what is on the way is lost too.
    pub fn cut(&self, a: IpAddr, b: IpAddr) {
        self.shared.lock().cuts.extend([(a, b), (b, a)]);
    }

    /// Cuts one direction only.
    pub fn cut_one_way(&self, from: IpAddr, to: IpAddr) {
        self.shared.lock().cuts.insert((from, to));
    }

    /// Mends the link between two machines.
    pub fn heal(&self, a: IpAddr, b: IpAddr) {
        let mut state = self.shared.lock();
        state.cuts.remove(&(a, b));
        state.cuts.remove(&(b, a));
    }

    /// Cuts every link between the two groups.
    pub fn partition(&self, left: &[IpAddr], right: &[IpAddr]) {
        for a in left {
            for b in right {
                self.cut(*a, *b);
            }
        }
    }

    /// Mends everything.
    pub fn heal_all(&self) {
        self.shared.lock().cuts.clear();
    }

    /// Whether nothing gets from one machine to the other.
    #[must_use]
    pub fn is_cut(&self, from: IpAddr, to: IpAddr) -> bool {
        self.shared.lock().cuts.contains(&(from, to))
    }

    /// What happened so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.shared.lock().counts
    }

    /// Hash over every verdict so far: time, from, to, length, verdict.
    #[must_use]
    pub fn trace(&self) -> [u8; 32] {
        *self.shared.lock().trace.finalize().as_bytes()
    }

    /// Virtual time since the network began.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.shared.began.elapsed()
    }

    fn send(&self, from: SocketAddr, to: SocketAddr, bytes: &[u8]) {
        let now = self.elapsed();
        let mut state = self.shared.lock();
        state.counts.sent += 1;
        if state.cuts.contains(&(from.ip(), to.ip())) {
            state.counts.cut += 1;
            return state.note(now, from, to, bytes.len(), Verdict::Cut);
        }
        // Drawn for every datagram, so that one fault's share does not shift the others' dice.
        let (loss, double) = (state.random.share(), state.random.share());
        if loss < state.faults.loss {
            state.counts.lost += 1;
            return state.note(now, from, to, bytes.len(), Verdict::Lost);
        }
        let copies = if double < state.faults.duplicate { 2 } else { 1 };
        if copies == 2 {
            state.counts.duplicated += 1;
            state.note(now, from, to, bytes.len(), Verdict::Doubled);
        }
        for _ in 0..copies {
            state.sequence += 1;
            let order = state.sequence;
            let (shortest, longest) = state.faults.delay;
            let way = shortest + longest.saturating_sub(shortest).mul_f64(state.random.share());
            let due = self.shared.began + now + way;
            state.note(now, from, to, bytes.len(), Verdict::OnTheWay);
            state.on_the_way.insert((due, order), Datagram { from, to, order, bytes: bytes.to_vec() });
        }
        drop(state);
        self.shared.sent.notify_one();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn note(&mut self, at: Duration, from: SocketAddr, to: SocketAddr, len: usize, verdict: Verdict) {
        let line = format!("{} {from} {to} {len} {}\n", at.as_nanos(), verdict as u8);
        self.trace.update(line.as_bytes());
    }

    fn deliver(&mut self, at: Duration, datagram: Datagram) -> Option<Waker> {
        let Datagram { from, to, order, .. } = datagram;
        let len = datagram.bytes.len();
        let verdict = if self.cuts.contains(&(from.ip(), to.ip())) {
            self.counts.cut += 1;
            Verdict::Cut
        } else {
            match self.inboxes.get_mut(&to) {
                None => {
                    self.counts.unreachable += 1;
                    Verdict::Unreachable
                }
                Some(inbox) if inbox.waiting.len() >= INBOX_MAX => {
                    self.counts.overflowed += 1;
                    Verdict::Overflowed
                }
                Some(inbox) => {
                    inbox.waiting.push_back(datagram);
                    self.counts.delivered += 1;
                    let newest = self.newest.entry((from, to)).or_default();
                    if order < *newest {
                        self.counts.reordered += 1;
                    }
                    *newest = order.max(*newest);
                    Verdict::Delivered
                }
            }
        };
        self.note(at, from, to, len, verdict);
        self.inboxes.get_mut(&to).and_then(|inbox| inbox.reader.take())
    }
}

/// Delivers what is due, in order of time and then of sending.
async fn drive(shared: Arc<Shared>) {
    loop {
        let next = shared.lock().on_the_way.keys().next().map(|(due, _)| *due);
        match next {
            None => shared.sent.notified().await,
            Some(due) if due > Instant::now() => {
                tokio::select! {
                    biased;
                    () = shared.sent.notified() => {}
                    () = tokio::time::sleep_until(due) => {}
                }
            }
            Some(_) => {
                let mut state = shared.lock();
                let at = shared.began.elapsed();
                let waker = state.on_the_way.pop_first().and_then(|(_, datagram)| state.deliver(at, datagram));
                drop(state);
                if let Some(waker) = waker {
                    waker.wake();
                }
            }
        }
    }
}

/// SplitMix64.
#[derive(Debug, Clone)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 to below 1.
    fn share(&mut self) -> f64 {
        let bits = u32::try_from(self.next() >> 32).unwrap_or_default();
        f64::from(bits) / (f64::from(u32::MAX) + 1.0)
    }
}
