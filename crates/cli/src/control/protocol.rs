//! The lines of the control channel, and of stdin and stdout of `run --json`, which are the same.

use std::sync::Arc;

use bonfire_engine::command::{Command, Reply};
use bonfire_engine::event::PeerEvent;
use bonfire_engine::{ErrorClass, Report, Snapshot};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Longest line that a peer reads from a client, in bytes (1 MiB).
pub(crate) const REQUEST_LEN_MAX: usize = 1 << 20;

/// What a client asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Request {
    /// Comes back with the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<u64>,
    /// What is asked.
    #[serde(flatten)]
    pub(crate) ask: Ask,
}

/// The kinds of request: `{"command":{..}}`, `{"get":"snapshot"}`, `{"follow":true}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Ask {
    /// Do something.
    Command(Command),
    /// Read something.
    Get(Topic),
    /// Push events and snapshots from here on, or no longer.
    Follow(bool),
}

/// What can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Topic {
    /// The whole state.
    Snapshot,
}

/// An answer, or a pushed snapshot (without `id`). Pushed events are `EventRecord`s as they are.
#[derive(Debug, Serialize)]
pub(crate) struct Answer {
    /// That of the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<u64>,
    /// The answer.
    #[serde(flatten)]
    pub(crate) body: Body,
}

/// The kinds of answer: `{"reply":{..}}`, `{"error":{..}}`, `{"snapshot":{..}}`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Body {
    /// A command went through.
    Reply(Reply),
    /// It did not, or the line was bad.
    Error(Report),
    /// The whole state.
    Snapshot(Arc<Snapshot>),
}

impl Answer {
    /// The line with its line end.
    pub(crate) fn to_line(&self) -> Vec<u8> {
        to_line(self)
    }
}

/// Any value as one line of JSON with its line end.
pub(crate) fn to_line<T: Serialize>(value: &T) -> Vec<u8> {
    let mut line = serde_json::to_vec(value).expect("BUG: a control line cannot be written as JSON");
    line.push(b'\n');
    line
}

/// A line from a peer, as a client reads it: whichever fields are there.
#[derive(Debug, Deserialize)]
pub(crate) struct PeerLine {
    /// That of the request; absent in what is pushed.
    pub(crate) id: Option<u64>,
    /// Answer to a command.
    pub(crate) reply: Option<Reply>,
    /// Refusal.
    pub(crate) error: Option<Report>,
    /// The whole state.
    pub(crate) snapshot: Option<Box<Snapshot>>,
    /// Number of the event.
    pub(crate) seq: Option<u64>,
    /// What happened.
    pub(crate) event: Option<PeerEvent>,
}

/// Reads a request. A bare command (`{"transfers":{..}}`) counts as one without an id.
///
/// # Errors
/// The answer to send back.
pub(crate) fn parse(line: &[u8]) -> Result<Request, Answer> {
    let bad = |id: Option<u64>, why: String| Answer {
        id,
        body: Body::Error(
            Report::new(ErrorClass::Refused, "bad_request", why)
                .hint(r#"one JSON object a line, such as {"id":1,"command":{"transfers":{"get":{"game":"NAME"}}}}"#),
        ),
    };
    let value: Value = serde_json::from_slice(line).map_err(|e| bad(None, format!("not a line of JSON: {e}")))?;
    let Some(object) = value.as_object() else { return Err(bad(None, "not a JSON object".to_owned())) };
    let id = match object.get("id") {
        None => None,
        Some(id) => Some(id.as_u64().ok_or_else(|| bad(None, "id is not a whole number".to_owned()))?),
    };
    let read = if ["command", "get", "follow"].iter().any(|key| object.contains_key(*key)) {
        serde_json::from_value(value)
    } else {
        serde_json::from_value(value).map(|command| Request { id, ask: Ask::Command(command) })
    };
    read.map_err(|e| bad(id, format!("not a request: {e}")))
}

/// The answer to a line over `REQUEST_LEN_MAX`.
pub(crate) fn too_long() -> Answer {
    let report = Report::new(ErrorClass::Refused, "too_large", format!("a line of more than {REQUEST_LEN_MAX} bytes"));
    Answer { id: None, body: Body::Error(report) }
}

#[cfg(test)]
mod tests {
    use bonfire_engine::command::{Command, NodeCommand, Reply};

    use super::{Answer, Ask, Body, Request, Topic, parse};

    fn bad(line: &str) -> String {
        String::from_utf8(parse(line.as_bytes()).unwrap_err().to_line()).unwrap()
    }

    #[test]
    fn reads_requests_and_bare_commands() {
        let stop = Command::Peer(NodeCommand::ShutDown);
        assert_eq!(
            parse(br#"{"id":1,"command":{"peer":"shut_down"}}"#).unwrap(),
            Request { id: Some(1), ask: Ask::Command(stop.clone()) }
        );
        assert_eq!(parse(br#"{"peer":"shut_down"}"#).unwrap(), Request { id: None, ask: Ask::Command(stop) });
        assert_eq!(
            parse(br#"{"id":2,"get":"snapshot"}"#).unwrap(),
            Request { id: Some(2), ask: Ask::Get(Topic::Snapshot) }
        );
        assert_eq!(parse(br#"{"follow":true}"#).unwrap(), Request { id: None, ask: Ask::Follow(true) });
    }

    #[test]
    fn answers_a_bad_line_with_its_id_and_what_is_wrong() {
        assert!(bad("nonsense").contains(r#""code":"bad_request""#));
        assert!(bad("[1]").contains("not a JSON object"));
        assert!(bad(r#"{"id":"x","get":"snapshot"}"#).contains("id is not a whole number"));
        assert!(bad(r#"{"id":7,"command":{"peer":"dance"}}"#).starts_with(r#"{"id":7,"error":"#));
        assert!(bad(r#"{"transfers":{"get":{"game":"../x"}}}"#).contains("not a game id"));
    }

    #[test]
    fn answers_are_flat() {
        let line = Answer { id: Some(3), body: Body::Reply(Reply::Started { op: 9 }) }.to_line();
        assert_eq!(line, b"{\"id\":3,\"reply\":{\"type\":\"started\",\"op\":9}}\n");
    }
}
