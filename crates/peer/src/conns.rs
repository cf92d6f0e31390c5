//! Connections as tasks: the dial and hello of each, its control stream in both directions, and its incoming requests.
//!
//! Owns the live `Connection`s and their numbers. Which of them stay is the engine's decision.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use bonfire_engine::budget::TokenBucket;
use bonfire_engine::input::{ConnId, ConnInput, DialId, Input};
use bonfire_engine::{ErrorClass, Report};
use bonfire_net::{Connection, ControlReceiver, ControlSender, Endpoint, NetError};
use bonfire_proto::message::{Control, ErrorMsg, Hello, Request, Response};
use bonfire_proto::{CloseCode, ErrorCode, PeerId};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::errors;
use crate::serve::Server;
use crate::task::Event;

/// Longest wait for a hello or its answer.
const HELLO_WITHIN: Duration = Duration::from_secs(5);
/// Head start of each address over the next, as in RFC 8305 (which recommends 250 ms).
const NEXT_ADDRESS_AFTER: Duration = Duration::from_millis(250);
/// Control messages that wait for a slow peer. One that lets more pile up is closed rather than buffered for.
const CONTROL_QUEUE: usize = 256;
/// Control frames a second that a peer may send on average, and at once. A room's pushes are a handful a second.
const CONTROL_RATE: u32 = 50;
const CONTROL_BURST: u32 = 500;
/// Games in a delta that count as one frame more.
const GAMES_PER_TOKEN: usize = 64;

/// A connection that exchanged hellos, on its way to the peer's task.
pub(crate) struct Arrival {
    pub(crate) connection: Connection,
    pub(crate) sender: ControlSender,
    pub(crate) receiver: ControlReceiver,
    pub(crate) hello: Hello,
    pub(crate) dial: Option<DialId>,
}

struct Live {
    connection: Connection,
    /// Present from when the control stream is live.
    control: Option<mpsc::Sender<Control>>,
    /// The halves, until then.
    waiting: Option<(ControlSender, ControlReceiver)>,
}

/// All connections of a peer.
pub(crate) struct Conns {
    next: u64,
    live: BTreeMap<ConnId, Live>,
    tasks: JoinSet<()>,
    /// Apart from the rest: these end by themselves once told everything.
    writers: JoinSet<()>,
    events: mpsc::Sender<Event>,
}

impl Conns {
    pub(crate) fn new(events: mpsc::Sender<Event>) -> Self {
        Self { next: 1, live: BTreeMap::new(), tasks: JoinSet::new(), writers: JoinSet::new(), events }
    }

    pub(crate) fn get(&self, conn: ConnId) -> Option<&Connection> {
        self.live.get(&conn).map(|l| &l.connection)
    }

    /// Numbers an arrival and tells what the engine is to hear of it.
    pub(crate) fn register(&mut self, arrival: Arrival) -> Input {
        let conn = ConnId(self.next);
        self.next += 1;
        let Arrival { connection, sender, receiver, hello, dial } = arrival;
        let (proven, key_hash) = (connection.peer_id(), connection.key_hash().0);
        let input = ConnInput::Arrived { conn, proven, key_hash, dial, hello, remote: connection.remote_addr() };
        self.live.insert(conn, Live { connection, control: None, waiting: Some((sender, receiver)) });
        Input::Conn(input)
    }

    /// Makes a connection's control stream live, first sending `first` on it, and serves its requests.
    pub(crate) fn open(&mut self, conn: ConnId, first: Option<Control>, server: &Server) {
        let Some(live) = self.live.get_mut(&conn) else { return };
        let Some((sender, receiver)) = live.waiting.take() else { return };
        let (queue, outgoing) = mpsc::channel(CONTROL_QUEUE);
        live.control = Some(queue.clone());
        let connection = live.connection.clone();
        self.writers.spawn(write_control(connection.clone(), sender, first, outgoing));
        self.tasks.spawn(read_control(conn, connection.clone(), receiver, queue.downgrade(), self.events.clone()));
        self.tasks.spawn(watch_close(conn, connection.clone(), self.events.clone()));
        self.tasks.spawn(server.clone().serve(conn, connection));
        while self.tasks.try_join_next().is_some() {}
        while self.writers.try_join_next().is_some() {}
    }

    /// Whether a dialled connection still waits to be opened.
    pub(crate) fn is_waiting(&self, conn: ConnId) -> bool {
        self.live.get(&conn).is_some_and(|l| l.waiting.is_some())
    }

    pub(crate) fn send(&self, conn: ConnId, message: Control) {
        if let Some(live) = self.live.get(&conn)
            && let Some(control) = &live.control
            && control.try_send(message).is_err()
        {
            // Its queue is full or its writer ended; either way the close is noticed and reported by `watch_close`.
            live.connection.close(CloseCode::Overloaded);
        }
    }

    pub(crate) fn close(&mut self, conn: ConnId, code: CloseCode) {
        if let Some(live) = self.live.remove(&conn) {
            live.connection.close(code);
        }
    }

    pub(crate) fn forget(&mut self, conn: ConnId) {
        self.live.remove(&conn);
    }

    /// Lets queued control messages out (a goodbye), then ends every task.
    pub(crate) async fn shut_down(&mut self) {
        for live in self.live.values_mut() {
            live.control = None;
        }
        // A writer ends by itself once its queue is drained; a peer that does not read is not waited for.
        let drained = async { while self.writers.join_next().await.is_some() {} };
        if timeout(Duration::from_millis(300), drained).await.is_err() {
            tracing::debug!("some control streams were not drained at shutdown");
        }
        for live in self.live.values() {
            live.connection.close(CloseCode::ShuttingDown);
        }
        self.writers.shutdown().await;
        self.tasks.shutdown().await;
    }
}

/// Connects to the first address that answers, says hello and reads the answer.
pub(crate) async fn dial(
    endpoint: Endpoint,
    dial: DialId,
    addrs: Vec<SocketAddr>,
    expect: Option<PeerId>,
    hello: Hello,
    events: mpsc::Sender<Event>,
) {
    let event = match dial_any(&endpoint, &addrs, expect, hello).await {
        Ok((connection, sender, receiver, hello)) => {
            Event::Arrived(Box::new(Arrival { connection, sender, receiver, hello, dial: Some(dial) }))
        }
        Err(error) => Event::Input(Input::Conn(ConnInput::DialFailed(dial, error))),
    };
    send(&events, event).await;
}

type Greeted = (Connection, ControlSender, ControlReceiver, Hello);

async fn dial_any(
    endpoint: &Endpoint,
    addrs: &[SocketAddr],
    expect: Option<PeerId>,
    hello: Hello,
) -> Result<Greeted, Report> {
    let mut attempts = JoinSet::new();
    for (i, addr) in addrs.iter().copied().enumerate() {
        let endpoint = endpoint.clone();
        let head_start = NEXT_ADDRESS_AFTER * u32::try_from(i).unwrap_or(u32::MAX);
        attempts.spawn(async move {
            sleep(head_start).await;
            endpoint.connect(addr, expect).await
        });
    }
    let mut last = None;
    while let Some(done) = attempts.join_next().await {
        match done {
            Ok(Ok(connection)) => {
                attempts.abort_all();
                return greet(connection, hello).await;
            }
            Ok(Err(error)) => last = Some(errors::net(&error)),
            Err(join) => tracing::debug!("a dial ended early: {join}"),
        }
    }
    Err(last.unwrap_or_else(|| Report::new(ErrorClass::Unreachable, "no_address", "there is no address to dial")))
}

async fn greet(connection: Connection, hello: Hello) -> Result<Greeted, Report> {
    let from = connection.remote_addr();
    let exchange = async {
        let (mut sender, mut receiver) = connection.open_control().await.map_err(|e| errors::net(&e))?;
        sender.send(&Control::Hello(hello)).await.map_err(|e| errors::net(&e))?;
        match receiver.recv().await.map_err(|e| errors::net(&e))? {
            Some(Control::HelloAck(theirs)) => Ok((sender, receiver, theirs)),
            Some(_) => Err(protocol(from, "something else than hello_ack came")),
            None => Err(protocol(from, "the control stream ended before hello_ack")),
        }
    };
    match timeout(HELLO_WITHIN, exchange).await {
        Ok(Ok((sender, receiver, theirs))) => Ok((connection, sender, receiver, theirs)),
        Ok(Err(error)) => {
            connection.close(CloseCode::Protocol);
            Err(error)
        }
        Err(_) => {
            connection.close(CloseCode::Stale);
            Err(protocol(from, "no hello_ack came in time").retryable())
        }
    }
}

/// Accepts connections until the endpoint closes.
pub(crate) async fn accept(endpoint: Endpoint, events: mpsc::Sender<Event>) {
    let mut tasks = JoinSet::new();
    while let Some(incoming) = endpoint.accept().await {
        let events = events.clone();
        tasks.spawn(async move {
            let from = incoming.remote_addr();
            let arrived = timeout(HELLO_WITHIN * 2, async {
                let connection = incoming.handshake().await.map_err(|e| errors::net(&e))?;
                let (sender, mut receiver) = connection.accept_control().await.map_err(|e| errors::net(&e))?;
                match receiver.recv().await.map_err(|e| errors::net(&e))? {
                    Some(Control::Hello(hello)) => Ok(Arrival { connection, sender, receiver, hello, dial: None }),
                    Some(_) | None => {
                        connection.close(CloseCode::Protocol);
                        Err(protocol(from, "something else than hello came"))
                    }
                }
            });
            match arrived.await {
                Ok(Ok(arrival)) => send(&events, Event::Arrived(Box::new(arrival))).await,
                // Strangers may send anything; it is theirs to fix and ours to survive.
                Ok(Err(error)) => tracing::debug!("incoming connection from {from} failed: {error}"),
                Err(_) => tracing::debug!("incoming connection from {from} said no hello in time"),
            }
        });
        while tasks.try_join_next().is_some() {}
    }
    tasks.shutdown().await;
}

async fn write_control(
    connection: Connection,
    mut sender: ControlSender,
    first: Option<Control>,
    mut outgoing: mpsc::Receiver<Control>,
) {
    let mut next = first;
    loop {
        let message = match next.take() {
            Some(m) => m,
            None => match outgoing.recv().await {
                Some(m) => m,
                // Dropped as it is, the stream would be reset, and the last words (a goodbye) be lost with it.
                None => return sender.deliver().await,
            },
        };
        if let Err(error) = sender.send(&message).await {
            tracing::debug!("control stream to {} ended: {error}", connection.remote_addr());
            connection.close(CloseCode::Protocol);
            return;
        }
    }
}

async fn read_control(
    conn: ConnId,
    connection: Connection,
    mut receiver: ControlReceiver,
    answers: mpsc::WeakSender<Control>,
    events: mpsc::Sender<Event>,
) {
    let mut budget = TokenBucket::new(bonfire_engine::Instant(0), CONTROL_RATE, CONTROL_BURST);
    let started = tokio::time::Instant::now();
    loop {
        let received = receiver.recv().await;
        let now = bonfire_engine::Instant(u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX));
        let cost = received.as_ref().map_or(1, |m| m.as_ref().map_or(1, cost));
        if (0..cost).any(|_| budget.take(now).is_err()) {
            connection.close(CloseCode::Overloaded);
            return;
        }
        match received {
            Ok(Some(message)) => send(&events, Event::Input(Input::Conn(ConnInput::Message(conn, message)))).await,
            Ok(None) => {
                connection.close(CloseCode::Done);
                return;
            }
            Err(NetError::Frame { source: error, .. }) if error.code() == ErrorCode::Unsupported => {
                // A newer peer may say things that we do not know; it is told so and goes on.
                let answer = Control::Error(ErrorMsg::new(ErrorCode::Unsupported, error.to_string()));
                if answers.upgrade().is_none_or(|a| a.try_send(answer).is_err()) {
                    connection.close(CloseCode::Overloaded);
                    return;
                }
            }
            Err(error) => {
                tracing::debug!("control stream from {} broke: {error}", connection.remote_addr());
                connection.close(CloseCode::Protocol);
                return;
            }
        }
    }
}

/// What a message counts for: one that lists games as much as it lists, since it is compared with all that is known.
fn cost(message: &Control) -> usize {
    match message {
        Control::LibraryDelta(m) => {
            1 + (m.delta.added.len() + m.delta.updated.len() + m.delta.removed.len()) / GAMES_PER_TOKEN
        }
        _ => 1,
    }
}

async fn watch_close(conn: ConnId, connection: Connection, events: mpsc::Sender<Event>) {
    let because = connection.closed().await;
    send(&events, Event::Input(Input::Conn(ConnInput::Closed(conn, because.to_string())))).await;
}

/// Asks a question of one frame and tells the engine what came.
pub(crate) async fn ask(
    conn: ConnId,
    connection: Option<Connection>,
    request: Box<Request>,
    events: mpsc::Sender<Event>,
) {
    let answer = match connection {
        Some(connection) => ask_one(&connection, &request).await.map(Box::new),
        None => Err(Report::new(ErrorClass::Remote, "connection_lost", "the connection is over").retryable()),
    };
    send(&events, Event::Input(Input::Conn(ConnInput::Answered(conn, request, answer)))).await;
}

async fn ask_one(connection: &Connection, request: &Request) -> Result<Response, Report> {
    let mut answer = connection.request(request).await.map_err(|e| errors::net(&e))?;
    match answer.next().await.map_err(|e| errors::net(&e))? {
        Some(Response::Error(e)) => Err(errors::remote(connection.remote_addr(), &e)),
        Some(response) => Ok(response),
        None => Err(protocol(connection.remote_addr(), "a question was not answered")),
    }
}

/// Sends to the peer's task; when that has ended there is nobody left to tell.
pub(crate) async fn send(events: &mpsc::Sender<Event>, event: Event) {
    if events.send(event).await.is_err() {
        tracing::debug!("the peer's task has ended");
    }
}

fn protocol(from: SocketAddr, why: &str) -> Report {
    Report::new(ErrorClass::Remote, "protocol", format!("{from}: {why}"))
}
