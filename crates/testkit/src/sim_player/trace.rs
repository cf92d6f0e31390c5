//! What happened in a run: as one hash, and as lines for people where they are asked for.

use std::fmt;

use bonfire_engine::input::{ConnInput, Input};
use bonfire_engine::record::Record;
use bonfire_proto::message::{Control, Request};

use super::world::World;

/// What happened, as a hash and, where it is asked for, as lines.
#[derive(Debug)]
pub(super) struct Trace {
    pub(super) hasher: blake3::Hasher,
    pub(super) lines: Option<Vec<String>>,
    pub(super) text: String,
}

impl Trace {
    pub(super) fn new(is_loud: bool) -> Self {
        Self { hasher: blake3::Hasher::new(), lines: is_loud.then(Vec::new), text: String::new() }
    }
}

impl World {
    pub(super) fn note(&mut self, what: fmt::Arguments<'_>) {
        use fmt::Write;
        let trace = &mut self.trace;
        trace.text.clear();
        if write!(trace.text, "{:>9} {what}", self.now).is_ok() {
            trace.hasher.update(trace.text.as_bytes());
        }
        if let Some(lines) = &mut trace.lines {
            lines.push(trace.text.clone());
        }
    }

    pub(super) fn trace(&mut self) -> (String, Vec<String>) {
        (self.trace.hasher.finalize().to_hex().to_string(), self.trace.lines.take().unwrap_or_default())
    }
}

/// Records, as a line.
pub(super) struct Listed<'a>(pub(super) &'a [Record]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for record in self.0 {
            match record {
                Record::Slot(s) => write!(f, "slot {} {:?}; ", s.line.slot, s.record)?,
                Record::Nodes(line, nodes) => {
                    write!(f, "nodes {}", line.slot)?;
                    nodes.iter().try_for_each(|n| write!(f, " {} {:?}", n.node.id.0.short(), n.holding))?;
                    write!(f, "; ")?;
                }
                Record::Audit(a) => write!(f, "audit {}; ", a.action)?,
                Record::Shared { entries, floors, acks, .. } => {
                    for e in entries {
                        write!(f, "entry {} {} {}; ", e.device_id.short(), e.seq, e.model_type)?;
                    }
                    write!(f, "{} floors {} acks; ", floors.len(), acks.len())?;
                }
                Record::State { put, gone, .. } => {
                    for r in put {
                        let head = r.data.as_ref().and_then(|d| d.get("have"));
                        write!(
                            f,
                            "state {} g{} {:?} v{} {} {head:?}; ",
                            r.device_id.short(),
                            r.generation,
                            r.device_epoch,
                            r.version,
                            r.model_type
                        )?;
                    }
                    write!(f, "{} gone; ", gone.len())?;
                }
                Record::Set(s) => write!(f, "set {} {}; ", s.set.game, s.slot)?,
                Record::SetGone(s) => write!(f, "set gone {}; ", s.game)?,
                Record::Player(p) => write!(f, "player {} vouched {}; ", p.name, p.vouched.len())?,
                Record::Clock(c) => write!(f, "clock {}; ", c.0)?,
                _ => write!(f, "other; ")?,
            }
        }
        Ok(())
    }
}

/// An input, as a line.
pub(super) fn brief(input: &Input) -> String {
    match input {
        Input::Conn(ConnInput::Arrived { conn, .. }) => format!("arrived {}", conn.0),
        Input::Conn(ConnInput::Message(conn, message)) => {
            let kind = match message {
                Control::StateChange(_) | Control::StateBatch(_) => "state",
                Control::SharedChange(_) | Control::SharedChangeBatch(_) => "shared",
                Control::AckSharedChanges(_) => "ack",
                _ => "other",
            };
            format!("message {} {kind}", conn.0)
        }
        Input::Conn(ConnInput::Answered(conn, request, answer)) => {
            let kind = if matches!(**request, Request::StateRequest(_)) { "state" } else { "shared" };
            format!("answered {} {kind} {}", conn.0, answer.is_ok())
        }
        Input::Conn(ConnInput::Library(conn, _)) => format!("library {}", conn.0),
        Input::Command(id, _) => format!("command {}", id.0),
        Input::Save(input) => format!("{input:?}"),
        Input::Pairing(id, _) => format!("pairing {id:?}"),
        other => format!("{other:?}"),
    }
}
