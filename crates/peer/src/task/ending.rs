//! How the task ends: connections are told, downloads and work on saves come to a stop, and nothing of it is waited for too
//! long.

use std::time::Duration;

use bonfire_engine::PeerEvent;
use bonfire_proto::CloseCode;
use tokio::time::timeout;

use super::Task;

/// Longest wait for the other sides to take note of our closing. They are told at once; a second covers bad Wi-Fi.
const CLOSE_WITHIN: Duration = Duration::from_secs(1);
/// How long the socket outlives connections that were open. That one is closed is told in one packet, which a full buffer
/// loses; whoever still talks to it meanwhile is told again.
const LINGER: Duration = Duration::from_millis(300);
/// Longest wait for downloads to make durable what they have verified: a slow disk may take seconds. What is not durable
/// then is hashed again at the next start, as after a kill.
const SUSPEND_WITHIN: Duration = Duration::from_secs(5);

impl Task {
    pub(super) async fn shut_down(mut self, accepting: tokio::task::JoinHandle<()>) {
        let had_connections = self.endpoint.open_connections() > 0;
        accepting.abort();
        if let Err(error) = accepting.await
            && error.is_panic()
        {
            tracing::error!("accepting connections failed: {error}");
        }
        if let Some(discovery) = &self.discovery {
            discovery.shutdown();
        }
        self.state.running.stop();
        self.conns.shut_down().await;
        self.hasher.stop();
        self.watching.stop();
        let (running, workers) = (&self.state.running, &mut self.state.workers);
        let suspended = async { while !running.is_over() && workers.join_next().await.is_some() {} };
        if timeout(SUSPEND_WITHIN, suspended).await.is_err() {
            tracing::warn!("a download did not come to a stop in time; its journal lets the next start go on");
        }
        self.state.running.abort();
        self.state.workers.shutdown().await;
        if timeout(SUSPEND_WITHIN, self.saves.stop()).await.is_err() {
            tracing::warn!("work on a save did not end in time; the next start finishes it");
        }
        self.endpoint.close(CloseCode::ShuttingDown);
        // A handshake that was given up at a bad moment is remembered by the transport until it is idle; nobody waits
        // for its end.
        if timeout(CLOSE_WITHIN, self.endpoint.wait_idle()).await.is_err() {
            tracing::debug!("a connection did not end in time");
        }
        if had_connections {
            tokio::time::sleep(LINGER).await;
        }
        self.tell(PeerEvent::Stopped);
    }
}
