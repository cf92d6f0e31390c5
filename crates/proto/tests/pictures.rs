//! What counts as a picture, and which file names one.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use bonfire_proto::limits::PICTURE_LEN_MAX;
use bonfire_proto::picture::PictureError;
use bonfire_proto::{PictureFormat, PictureRef};
use proptest::prelude::*;

fn cases() -> u32 {
    std::env::var("BONFIRE_CASES").map_or(10_000, |n| n.parse().unwrap())
}

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";

#[test]
fn a_picture_is_told_by_its_first_bytes_and_never_by_its_name() {
    let format = |bytes: &[u8]| PictureFormat::of(bytes);
    assert_eq!(format(PNG), Some(PictureFormat::Png));
    assert_eq!(format(b"\xff\xd8\xff\xe0rest"), Some(PictureFormat::Jpeg));
    assert_eq!(format(b"RIFF\x10\0\0\0WEBPVP8 "), Some(PictureFormat::Webp));
    for other in [&b""[..], b"GIF89a", b"RIFF\x10\0\0\0WAVE", b"RIFF", b"<svg xmlns=", b"\x89PNG\n\x1a\n", b"\xff\xd8"]
    {
        assert_eq!(format(other), None, "{other:?}");
    }
}

#[test]
fn a_picture_is_taken_up_to_its_limit_and_what_is_longer_is_refused_before_its_format() {
    let mut bytes = PNG.to_vec();
    bytes.resize(PICTURE_LEN_MAX as usize, 0);
    let most = PictureRef::of(&bytes).unwrap();
    assert!(most.is_legal() && most.is(&bytes));
    bytes.push(0);
    assert_eq!(PictureRef::of(&bytes), Err(PictureError::TooLong));
    assert_eq!(PictureRef::of(b"not a picture"), Err(PictureError::Format));
    assert_eq!(PictureRef::of(b""), Err(PictureError::Format));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    /// P21: what lies in a picture's file is that picture, or is seen not to be.
    #[test]
    fn p21_a_file_name_says_exactly_what_the_file_should_be(tail in prop::collection::vec(any::<u8>(), 0..64), at in any::<usize>()) {
        let mut bytes = PNG.to_vec();
        bytes.extend(tail);
        let picture = PictureRef::of(&bytes).unwrap();
        let name = picture.file_name();
        prop_assert_eq!(PictureRef::of_file(&name, bytes.len() as u64), Some(picture));
        let at = at % bytes.len();
        bytes[at] ^= 1;
        prop_assert!(!picture.is(&bytes), "one bit is enough");
        prop_assert!(!picture.is(&bytes[1..]));
    }

    /// P21: no other name is taken for one of ours, so nothing that is not ours is ever read or removed as a picture.
    #[test]
    fn p21_no_other_name_is_taken_for_a_picture(name in "[a-fA-F0-9./]{0,70}(\\.(png|jpg|webp|PNG|tmp))?", len in any::<u64>()) {
        if let Some(found) = PictureRef::of_file(&name, len) {
            prop_assert_eq!(found.file_name(), name);
            prop_assert_eq!(u64::from(found.len), len);
            prop_assert!(found.is_legal());
        }
    }
}
