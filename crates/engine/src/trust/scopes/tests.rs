use super::*;

#[test]
fn a_set_is_written_as_names_and_read_back() {
    for bits in 0..32u8 {
        let set = Scopes(bits);
        let text = serde_json::to_string(&set).unwrap();
        assert_eq!(serde_json::from_str::<Scopes>(&text).unwrap(), set, "{text}");
        assert_eq!(Scopes::of(&set.iter().collect::<Vec<_>>()), set);
        assert_eq!(set.iter().count(), usize::try_from(bits.count_ones()).unwrap());
    }
    assert_eq!(
        serde_json::to_string(&Scopes::of(&[Scope::SavesWrite, Scope::GamesRead])).unwrap(),
        r#"["games:read","saves:write"]"#
    );
}

#[test]
fn names_of_a_newer_version_allow_nothing() {
    let read: Scopes = serde_json::from_str(r#"["saves:read","moon:read","SAVES:WRITE","saves:*"]"#).unwrap();
    assert_eq!(read, Scopes::of(&[Scope::SavesRead]));
}

#[test]
fn sets_are_added_and_taken_apart_like_sets() {
    for a in 0..32u8 {
        for b in 0..32u8 {
            let (a, b) = (Scopes(a), Scopes(b));
            assert_eq!(a.with(b), b.with(a));
            assert!(a.with(b).has_all(a) && a.has_all(a.and(b)) && a.and(b) == b.and(a));
            assert!(a.without(b).and(b).is_empty());
            assert_eq!(a.without(b).with(a.and(b)), a);
            assert_eq!(a.has_all(b), b.iter().all(|s| a.has(s)));
        }
    }
}

#[test]
fn an_unattended_device_manages_no_devices_and_a_personal_one_does_everything() {
    assert_eq!(Scopes::of_role(DeviceRole::Personal), Scopes::ALL);
    assert_eq!(Scopes::ALL.without(Scopes::of_role(DeviceRole::Unattended)), Scopes::of(&[Scope::DevicesWrite]));
}
