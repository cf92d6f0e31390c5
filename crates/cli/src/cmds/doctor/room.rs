//! The room: every known peer reached both ways, and how far its clock is off.

use std::net::SocketAddr;
use std::time::Duration;

use bonfire_engine::command::{Command, NodeCommand, ProbeOutcome, Reply};
use tokio::time::timeout;

use super::multicast::FIREWALL;
use super::network::is_listening;
use super::{Check, Running, hint_of};
use crate::render::span;

/// How long the peer may take to ask everyone. Leaves time for the other checks.
const PROBE_TIMEOUT: Duration = Duration::from_secs(4);
/// Most lost peers that are looked at.
const LOST_MAX: usize = 16;
/// Clocks further apart than this confuse people who compare times; nothing is decided by them.
const CLOCK_DIFFERENCE_MAX_MS: u64 = 120_000;

/// Has the running peer ask everyone to dial back, and looks at those that are gone. Nobody there is no fault by itself,
/// but it is when discovery hears nothing either.
pub(super) async fn checks(running: &mut Running, is_silent: bool) -> Vec<Check> {
    let port = running.listens_on().map_or(0, |a| a.port());
    let probe = running.client.command(Command::Peer(NodeCommand::Probe));
    let mut checks = Vec::new();
    match timeout(PROBE_TIMEOUT, probe).await {
        Ok(Ok(Reply::Probed { results })) => results.iter().for_each(|r| judge(r, port, &mut checks)),
        Ok(Ok(_)) => checks.push(Check::failed("peer_reachable", "", "the peer gave another answer", "update bonfire")),
        Ok(Err(e)) => checks.push(Check::failed("peer_reachable", "", e.message, hint_of(e.class, e.hint))),
        Err(_) => checks.push(Check::failed(
            "peer_reachable",
            "",
            format!("the peers did not answer within {} s", PROBE_TIMEOUT.as_secs()),
            "try again; see bonfire peers for who is slow",
        )),
    }
    let lost = running.snapshot.peers.iter().filter(|p| !p.connected).take(LOST_MAX);
    let mut trials = Vec::new();
    for peer in lost {
        let subject = format!("{} ({})", peer.name, peer.addr);
        let gone = span(Duration::from_millis(peer.idle_ms));
        let Ok(address) = peer.addr.parse::<SocketAddr>() else {
            checks.push(Check::skipped("lost_peer", subject, format!("gone for {gone}; its address is not known")));
            continue;
        };
        trials.push((subject, gone, tokio::task::spawn_blocking(move || is_listening(address))));
    }
    for (subject, gone, trial) in trials {
        checks.push(match trial.await {
            Ok(Ok(true)) => Check::failed(
                "lost_peer",
                subject,
                format!("gone for {gone}, yet something answers there"),
                "restart the peer there; two versions of bonfire may not understand each other",
            ),
            // Most likely it was switched off, which is no fault.
            _ => Check::skipped("lost_peer", subject, format!("gone for {gone}, and nothing answers there")),
        });
    }
    if checks.is_empty() && is_silent {
        let detail = "no other peer was found, and discovery hears nothing";
        checks.push(Check::failed("peer_reachable", "", detail, FIREWALL));
    } else if checks.is_empty() {
        let detail =
            "no other peer was found; if one runs, compare networks and firewalls, or name it with --peer ADDR";
        checks.push(Check::skipped("peer_reachable", "", detail));
    }
    checks
}

fn judge(outcome: &ProbeOutcome, port: u16, checks: &mut Vec<Check>) {
    let subject = format!("{} ({})", outcome.name, outcome.peer.short());
    let reason = if outcome.detail.is_empty() { String::new() } else { format!(": {}", outcome.detail) };
    let firewall_here = format!("let UDP port {port} and the bonfire program through this machine's firewall");
    let firewall_there = format!("let the bonfire program through the firewall of {}", outcome.name);
    checks.push(match (outcome.we_reach, outcome.reaches_us) {
        (true, true) => Check::ok("peer_reachable", subject.clone(), "both ways"),
        (true, false) => {
            Check::failed("peer_reachable", subject.clone(), format!("it does not reach us{reason}"), firewall_here)
        }
        (false, true) => Check::failed(
            "peer_reachable",
            subject.clone(),
            format!("it reaches us, we do not reach it{reason}"),
            firewall_there,
        ),
        (false, false) => Check::failed(
            "peer_reachable",
            subject.clone(),
            format!("neither way{reason}"),
            format!("{firewall_here}, and {firewall_there}; guest Wi-Fi often keeps machines apart"),
        ),
    });
    checks.push(match outcome.clock_difference_ms {
        None => Check::skipped("clock", subject, "it did not tell its time"),
        Some(ms) if ms.unsigned_abs() <= CLOCK_DIFFERENCE_MAX_MS => {
            Check::ok("clock", subject, format!("{ms} ms apart"))
        }
        Some(ms) => {
            let (which, apart) =
                (if ms > 0 { "ahead" } else { "behind" }, span(Duration::from_millis(ms.unsigned_abs())));
            Check::failed(
                "clock",
                subject,
                format!("its clock is {apart} {which}"),
                "set the clock of the machine that is wrong",
            )
        }
    });
}
