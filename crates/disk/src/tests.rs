use crate::version::parse;

#[test]
fn a_version_is_the_key_or_else_the_first_line_of_meaning() {
    for (text, version) in [
        ("", ""),
        ("20150928", "20150928"),
        ("\n\n  1.2 beta \r\nmore", "1.2 beta"),
        ("\u{feff}3\n", "3"),
        ("[game]\nname=x\nVersion = 4.5\n", "4.5"),
        ("version: \"6\"\n", "6"),
        ("; a comment\n# another\n7\n", "7"),
        ("a\u{202e}b\u{7}c", "abc"),
    ] {
        assert_eq!(parse(text.as_bytes()), version, "{text:?}");
    }
    assert_eq!(parse(&[0xff, b'1']), "\u{fffd}1");
    assert_eq!(parse("x".repeat(500).as_bytes()).len(), bonfire_proto::limits::VERSION_LEN_MAX);
}
