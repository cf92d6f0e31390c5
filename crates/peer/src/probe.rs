//! Whether two peers reach each other, tried both ways with fresh connections.

use std::net::SocketAddr;
use std::time::Duration;

use bonfire_engine::command::ProbeOutcome;
use bonfire_engine::input::{CommandId, Input, ProbeTarget};
use bonfire_net::{Connection, Endpoint};
use bonfire_proto::message::{ProbeBack, ProbeResult, Request, Response};
use bonfire_proto::{CloseCode, text};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::conns;
use crate::errors::chain;
use crate::task::Event;

/// Longest wait for one direction. Both together stay under what a person waits for.
const WITHIN: Duration = Duration::from_secs(4);

/// Probes every target at once and tells the engine.
pub(crate) async fn all(
    endpoint: Endpoint,
    port: u16,
    command: CommandId,
    targets: Vec<(Connection, ProbeTarget)>,
    unix_ms: u64,
    events: mpsc::Sender<Event>,
) {
    let mut tasks = JoinSet::new();
    for (connection, target) in targets {
        tasks.spawn(one(endpoint.clone(), port, connection, target, unix_ms));
    }
    let mut results = Vec::new();
    while let Some(done) = tasks.join_next().await {
        match done {
            Ok(outcome) => results.push(outcome),
            Err(error) => tracing::error!("a probe failed: {error}"),
        }
    }
    results.sort_by_key(|r| r.peer);
    conns::send(&events, Event::Input(Input::Probed(command, results))).await;
}

async fn one(endpoint: Endpoint, port: u16, connection: Connection, target: ProbeTarget, unix_ms: u64) -> ProbeOutcome {
    let there = async {
        match timeout(WITHIN, endpoint.connect(target.addr, Some(target.peer))).await {
            Ok(Ok(fresh)) => {
                fresh.close(CloseCode::Done);
                Ok(())
            }
            Ok(Err(error)) => Err(chain(&error)),
            Err(_) => Err(format!("no answer from {} within {} s", target.addr, WITHIN.as_secs())),
        }
    };
    let back = async {
        match timeout(WITHIN * 2, ask_back(&connection, port)).await {
            Ok(answer) => answer,
            Err(_) => Err("it did not answer in time".to_owned()),
        }
    };
    let (there, back) = tokio::join!(there, back);
    let mut detail = Vec::new();
    if let Err(why) = &there {
        detail.push(format!("from here: {why}"));
    }
    match &back {
        Ok(r) if !r.reached => detail.push(format!("from there: {}", text::clean_to(&r.detail, 200))),
        Ok(_) => {}
        Err(why) => detail.push(format!("from there: {why}")),
    }
    let clock_difference_ms = back.as_ref().ok().map(|r| {
        let difference = i128::from(r.unix_ms) - i128::from(unix_ms);
        i64::try_from(difference).unwrap_or(if difference < 0 { i64::MIN } else { i64::MAX })
    });
    ProbeOutcome {
        peer: target.peer,
        name: target.name,
        we_reach: there.is_ok(),
        reaches_us: back.is_ok_and(|r| r.reached),
        detail: detail.join("; "),
        clock_difference_ms,
    }
}

async fn ask_back(connection: &Connection, port: u16) -> Result<ProbeResult, String> {
    let mut answer = connection.request(&Request::ProbeBack(ProbeBack { port })).await.map_err(|e| chain(&e))?;
    match answer.next().await.map_err(|e| chain(&e))? {
        Some(Response::ProbeResult(result)) => Ok(result),
        Some(Response::Error(e)) => Err(text::clean_to(&e.message, 200)),
        Some(_) | None => Err("it answered wrongly".to_owned()),
    }
}

/// Dials the asker back: where we see it, at the port it names, and nowhere else.
pub(crate) async fn back(endpoint: &Endpoint, asker: &Connection, port: u16, unix_ms: u64) -> ProbeResult {
    let addr = SocketAddr::new(asker.remote_addr().ip(), port);
    let addr = match (addr, asker.remote_addr()) {
        (SocketAddr::V6(to), SocketAddr::V6(seen)) => {
            SocketAddr::V6(std::net::SocketAddrV6::new(*to.ip(), port, 0, seen.scope_id()))
        }
        (addr, _) => addr,
    };
    let detail = match timeout(WITHIN, endpoint.connect(addr, Some(asker.peer_id()))).await {
        Ok(Ok(fresh)) => {
            fresh.close(CloseCode::Done);
            None
        }
        Ok(Err(error)) => Some(chain(&error)),
        Err(_) => Some(format!("no answer from {addr} within {} s", WITHIN.as_secs())),
    };
    ProbeResult { reached: detail.is_none(), detail: detail.unwrap_or_default(), unix_ms }
}
