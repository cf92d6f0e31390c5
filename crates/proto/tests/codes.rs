//! Numbers and names that are wire format and therefore never change.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use bonfire_proto::{CloseCode, ErrorCode};

#[test]
fn close_codes_keep_their_numbers() {
    let expected = [
        (CloseCode::Done, 0),
        (CloseCode::ShuttingDown, 1),
        (CloseCode::Version, 2),
        (CloseCode::WrongIdentity, 3),
        (CloseCode::Duplicate, 4),
        (CloseCode::Protocol, 5),
        (CloseCode::Stale, 6),
        (CloseCode::Overloaded, 7),
        (CloseCode::Cancelled, 8),
        (CloseCode::Oneself, 9),
        (CloseCode::BadContent, 10),
    ];
    assert_eq!(CloseCode::ALL, expected.map(|(code, _)| code));
    for (code, number) in expected {
        assert_eq!((code.number(), CloseCode::from_number(u64::from(number))), (number, Some(code)));
        assert!(!code.text().is_empty());
    }
    assert_eq!(CloseCode::from_number(11), None);
    assert_eq!(CloseCode::from_number(u64::MAX), None);
}

#[test]
fn error_codes_keep_their_names() {
    let names: Vec<String> = ErrorCode::ALL.iter().map(|c| serde_json::to_string(c).unwrap()).collect();
    let expected = [
        "unsupported",
        "bad_request",
        "too_large",
        "not_found",
        "not_ready",
        "busy",
        "forbidden",
        "conflict",
        "stale_conflict",
        "version",
        "internal",
    ];
    assert_eq!(names, expected.map(|n| format!("\"{n}\"")));
    for (code, name) in ErrorCode::ALL.iter().zip(&names) {
        assert_eq!(serde_json::from_str::<ErrorCode>(name).unwrap(), *code);
    }
}

#[test]
fn only_what_may_pass_is_worth_asking_again() {
    let retryable: Vec<_> = ErrorCode::ALL.iter().filter(|c| c.is_retryable()).collect();
    assert_eq!(retryable, [&ErrorCode::NotReady, &ErrorCode::Busy, &ErrorCode::Internal]);
}
