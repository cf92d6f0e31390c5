//! Bytes over one connection and nothing else: no disk, no hash. The baseline for benchmarks of whole downloads.
//!
//! ```text
//! bare_stream send LISTEN                     serves until killed; prints its address on stderr
//! bare_stream recv ADDR BYTES [STREAMS]       fetches (4 streams), prints one JSON line
//! bare_stream both BYTES [STREAMS]            both ends in this process, over loopback
//! ```
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for a terminal")]

use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use bonfire_net::{Connection, Endpoint, Identity, NetError, Tuning};
use bonfire_proto::limits::CHUNKS_PER_REQUEST_MAX;
use bonfire_proto::message::{Chunk, GetChunks, Ping};
use bonfire_proto::{CHUNK_LEN, CloseCode, Control, Digest, GameId, ManifestHash, RelPath, Request, Response};
use bytes::Bytes;

/// As a reader of files would hand them over.
const PIECE: usize = 256 * 1024;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

#[tokio::main]
async fn main() -> Outcome<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["send", listen] => {
            let endpoint = Endpoint::bind(Identity::generate()?, listen.parse()?, Tuning::default())?;
            eprintln!("{}", endpoint.local_addr()?);
            serve(endpoint).await;
            Ok(())
        }
        ["recv", addr, bytes] => fetch(addr.parse()?, bytes.parse()?, 4).await,
        ["recv", addr, bytes, streams] => fetch(addr.parse()?, bytes.parse()?, streams.parse()?).await,
        ["both", bytes] => both(bytes.parse()?, 4).await,
        ["both", bytes, streams] => both(bytes.parse()?, streams.parse()?).await,
        _ => Err("usage: bare_stream send LISTEN | recv ADDR BYTES [STREAMS] | both BYTES [STREAMS]".into()),
    }
}

async fn both(bytes: u64, streams: u32) -> Outcome<()> {
    let endpoint = Endpoint::bind(Identity::generate()?, "127.0.0.1:0".parse()?, Tuning::default())?;
    let addr = endpoint.local_addr()?;
    tokio::spawn(serve(endpoint));
    fetch(addr, bytes, streams).await
}

async fn serve(endpoint: Endpoint) {
    let content = Bytes::from(vec![0x5a; usize::try_from(CHUNK_LEN).unwrap_or_default()]);
    while let Some(incoming) = endpoint.accept().await {
        let content = content.clone();
        tokio::spawn(async move {
            if let Err(e) = serve_one(incoming.handshake().await, content).await {
                eprintln!("{e}");
            }
        });
    }
}

async fn serve_one(connection: Result<Connection, NetError>, content: Bytes) -> Result<(), NetError> {
    let connection = connection?;
    let _control = connection.accept_control().await?;
    loop {
        let stream = connection.accept_stream().await?;
        let content = content.clone();
        tokio::spawn(async move {
            if let Err(e) = answer(stream, content).await {
                eprintln!("{e}");
            }
        });
    }
}

async fn answer(stream: bonfire_net::IncomingStream, content: Bytes) -> Result<(), NetError> {
    let served = stream.read_request().await?;
    let mut reply = served.reply;
    let Ok(Request::GetChunks(asked)) = served.request else {
        reply.abort(CloseCode::Protocol);
        return Ok(());
    };
    for index in asked.first..asked.first.saturating_add(asked.count) {
        let len = u32::try_from(content.len()).unwrap_or_default();
        reply.send(&Response::Chunk(Chunk { index, len, hash: Digest([0; 32]) })).await?;
        for at in (0..content.len()).step_by(PIECE) {
            reply.send_bytes(content.slice(at..content.len().min(at + PIECE))).await?;
        }
    }
    reply.finish();
    Ok(())
}

async fn fetch(addr: SocketAddr, bytes: u64, streams: u32) -> Outcome<()> {
    let listen = if addr.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let endpoint = Endpoint::bind(Identity::generate()?, listen.parse()?, Tuning::default())?;
    let connection = endpoint.connect(addr, None).await?;
    let (mut control, _rx) = connection.open_control().await?;
    control.send(&Control::Ping(Ping {})).await?;
    let chunks_left = Arc::new(AtomicU64::new(bytes.div_ceil(CHUNK_LEN)));
    let (began, cpu) = (Instant::now(), cpu_seconds());
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..streams.max(1) {
        tasks.spawn(fetch_stream(connection.clone(), chunks_left.clone()));
    }
    let mut received = 0u64;
    while let Some(done) = tasks.join_next().await {
        received += done??;
    }
    let seconds = began.elapsed().as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    let rate = received as f64 / seconds;
    let line = serde_json::json!({
        "bytes": received,
        "seconds": seconds,
        "bytes_per_second": rate.round(),
        "cpu_seconds": cpu_seconds().zip(cpu).map(|(after, before)| after - before),
        "streams": streams,
        "mtu": connection.mtu(),
        "rtt_us": connection.rtt().as_micros(),
    });
    println!("{line}");
    connection.close(CloseCode::Done);
    endpoint.wait_idle().await;
    Ok(())
}

async fn fetch_stream(connection: Connection, chunks_left: Arc<AtomicU64>) -> Outcome<u64> {
    // A quarter of the largest request, so that streams end at about the same time.
    let batch = u64::from(CHUNKS_PER_REQUEST_MAX / 4);
    let mut received = 0u64;
    loop {
        let mine =
            chunks_left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| (n > 0).then(|| n.saturating_sub(batch)));
        let Ok(left) = mine else { return Ok(received) };
        let request = Request::GetChunks(GetChunks {
            game_id: GameId::new("bench")?,
            manifest_hash: ManifestHash(Digest([0; 32])),
            path: RelPath::new("bench.eti")?,
            first: 0,
            count: u32::try_from(left.min(batch))?,
        });
        let mut answer = connection.request(&request).await?;
        while let Some(frame) = answer.next().await? {
            let Response::Chunk(chunk) = frame else { return Err(format!("{frame:?}").into()) };
            let mut missing = usize::try_from(chunk.len)?;
            while missing > 0 {
                let piece = answer.read_raw(missing).await?.ok_or("the stream ended early")?;
                missing -= piece.len();
                received += piece.len() as u64;
            }
        }
    }
}

/// CPU time of this process so far, where the system has `/proc`.
fn cpu_seconds() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    // Ticks of 1/100 s on every Linux that Rust supports.
    Some((user + system) / 100.0)
}
