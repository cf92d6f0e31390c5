//! The frame: 4-byte big-endian length, then that many bytes of UTF-8 JSON holding one object with `"type"`.
//!
//! Works on byte slices only; reading from a stream is `bonfire-net`'s. Nothing is allocated or parsed before its
//! length and nesting were checked.

use serde::Deserialize;

use crate::error_code::ErrorCode;
use crate::limits::{FRAME_LEN_MAX, JSON_DEPTH_MAX};
use crate::message::Family;
use crate::text::clean_to;

/// Bytes of the length prefix.
pub const PREFIX_LEN: usize = 4;

/// Why bytes are not a message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The length prefix, or a message to send, is over `FRAME_LEN_MAX`.
    #[error("frame of {len} bytes is over the limit of {FRAME_LEN_MAX}")]
    TooLong {
        /// Bytes of the body.
        len: usize,
    },
    /// Nested deeper than `JSON_DEPTH_MAX`.
    #[error("JSON nested deeper than {JSON_DEPTH_MAX}")]
    TooDeep,
    /// Not a JSON object with a text field `"type"`.
    #[error("not a JSON object with a type: {0}")]
    Malformed(String),
    /// A `"type"` that this family does not have.
    #[error("unsupported type {0:?}")]
    Unsupported(String),
    /// A known type with a missing or malformed field.
    #[error("bad {kind}: {detail}")]
    BadMessage {
        /// The type.
        kind: String,
        /// What is wrong, naming the field.
        detail: String,
    },
}

impl FrameError {
    /// The code with which the frame is refused.
    #[must_use]
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::TooLong { .. } | Self::TooDeep => ErrorCode::TooLarge,
            Self::Malformed(_) | Self::BadMessage { .. } => ErrorCode::BadRequest,
            Self::Unsupported(_) => ErrorCode::Unsupported,
        }
    }
}

/// The body length that a prefix states.
///
/// # Errors
/// `TooLong` when it is over the limit.
pub fn body_len(prefix: [u8; PREFIX_LEN]) -> Result<usize, FrameError> {
    let len = u32::from_be_bytes(prefix) as usize;
    if len > FRAME_LEN_MAX { Err(FrameError::TooLong { len }) } else { Ok(len) }
}

/// A whole frame: prefix and body.
///
/// # Errors
/// `TooLong` when the body is over the limit; `Malformed` when the value cannot be JSON.
pub fn encode<M: Family>(message: &M) -> Result<Vec<u8>, FrameError> {
    let mut out = vec![0u8; PREFIX_LEN];
    serde_json::to_writer(&mut out, message).map_err(|e| FrameError::Malformed(e.to_string()))?;
    let len = out.len() - PREFIX_LEN;
    if len > FRAME_LEN_MAX {
        return Err(FrameError::TooLong { len });
    }
    let prefix = u32::try_from(len).map_err(|_| FrameError::TooLong { len })?;
    out[..PREFIX_LEN].copy_from_slice(&prefix.to_be_bytes());
    Ok(out)
}

/// The message in a frame's body. Unknown fields are ignored.
///
/// # Errors
/// As `FrameError` says; never panics whatever the bytes are.
pub fn decode<M: Family>(body: &[u8]) -> Result<M, FrameError> {
    if body.len() > FRAME_LEN_MAX {
        return Err(FrameError::TooLong { len: body.len() });
    }
    check_depth(body)?;
    // A derived parser also takes a list of the fields' values; the format is an object and nothing else.
    if body.iter().find(|b| !b.is_ascii_whitespace()) != Some(&b'{') {
        return Err(FrameError::Malformed("not an object".to_owned()));
    }
    let message = match serde_json::from_slice::<M>(body) {
        Ok(m) => m,
        Err(e) => return Err(why_not::<M>(body, &e)),
    };
    message.check().map_err(|field| FrameError::BadMessage {
        kind: type_of(body).unwrap_or_default(),
        detail: format!("{field} is out of bounds"),
    })?;
    Ok(message)
}

fn why_not<M: Family>(body: &[u8], error: &serde_json::Error) -> FrameError {
    match type_of(body) {
        None => FrameError::Malformed(clean_to(&error.to_string(), 200)),
        Some(kind) if !M::TYPES.contains(&kind.as_str()) => FrameError::Unsupported(clean_to(&kind, 64)),
        Some(kind) => FrameError::BadMessage { kind, detail: clean_to(&error.to_string(), 200) },
    }
}

fn type_of(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Tag {
        r#type: String,
    }
    serde_json::from_slice::<Tag>(body).ok().map(|t| t.r#type)
}

/// Counts brackets outside strings, so that a parser never recurses deeper than we allow.
fn check_depth(body: &[u8]) -> Result<(), FrameError> {
    let (mut depth, mut in_string, mut escaped) = (0usize, false, false);
    for b in body {
        if in_string {
            match b {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_string = false,
                _ => {}
            }
            continue;
        }
        match b {
            b'"' => in_string = true,
            b'{' | b'[' => {
                depth += 1;
                if depth > JSON_DEPTH_MAX {
                    return Err(FrameError::TooDeep);
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    Ok(())
}
