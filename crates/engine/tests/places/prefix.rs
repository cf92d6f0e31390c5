//! Prefixes of Wine and Proton, as they are found on disks.

use bonfire_engine::places::placeholders::Placeholder;
use bonfire_engine::places::prefix::{PrefixError, places};

use crate::disk::{Disk, PFX, prefix};

#[test]
fn protons_prefix_is_found_from_its_folder_with_the_person_that_proton_makes_up() {
    let (places, _) = prefix(&["users/ada/AppData/Roaming"]);
    let home = format!("{PFX}/users/steamuser");
    for (placeholder, folder) in [
        (Placeholder::Home, home.clone()),
        (Placeholder::WinAppData, format!("{home}/AppData/Roaming")),
        (Placeholder::WinLocalAppData, format!("{home}/AppData/Local")),
        (Placeholder::WinLocalAppDataLow, format!("{home}/AppData/LocalLow")),
        (Placeholder::WinDocuments, format!("{home}/Documents")),
        (Placeholder::WinPublic, format!("{PFX}/users/Public")),
        (Placeholder::WinProgramData, format!("{PFX}/ProgramData")),
        (Placeholder::WinDir, format!("{PFX}/windows")),
    ] {
        assert_eq!(places.folder(placeholder), Some(folder.as_str()), "{placeholder}");
    }
    assert_eq!(places.user_name(), Some("steamuser"));
    assert_eq!(places.folder(Placeholder::XdgData), None);
}

#[test]
fn an_old_wine_prefix_keeps_its_own_spelling() {
    let disk = Disk::with(&[
        "/w/drive_c/users/ada/Application Data/x",
        "/w/drive_c/users/ada/Local Settings/Application Data",
        "/w/drive_c/users/ada/My Documents",
        "/w/drive_c/users/Public",
    ]);
    let places = places("/w/", Some("ada"), &disk).unwrap();
    let home = "/w/drive_c/users/ada";
    assert_eq!(places.folder(Placeholder::WinAppData), Some(format!("{home}/Application Data").as_str()));
    assert_eq!(places.folder(Placeholder::WinDocuments), Some(format!("{home}/My Documents").as_str()));
    // What is not there yet is made as it is made now.
    assert_eq!(places.folder(Placeholder::WinLocalAppDataLow), Some(format!("{home}/AppData/LocalLow").as_str()));
}

#[test]
fn whose_folder_is_meant_is_never_guessed() {
    let two = Disk::with(&["/w/drive_c/users/bob/x", "/w/drive_c/users/eve/x", "/w/drive_c/users/Public/x"]);
    let Err(PrefixError::Several { names, .. }) = places("/w", Some("ada"), &two) else {
        panic!("somebody was chosen")
    };
    assert_eq!(names, ["bob", "eve"]);
    assert_eq!(places("/w", Some("Eve"), &two).unwrap().user_name(), Some("eve"));
    let nobody = Disk::with(&["/w/drive_c/users/Public/x"]);
    assert!(matches!(places("/w", Some("ada"), &nobody), Err(PrefixError::Nobody(_))));
    assert!(matches!(places("/elsewhere", None, &nobody), Err(PrefixError::NoDrive(_))));
    assert!(matches!(places("relative", None, &nobody), Err(PrefixError::Fact(_))));
}

#[test]
fn a_folder_that_cannot_be_listed_is_not_an_empty_one() {
    let mut disk = Disk::with(&["/w/drive_c/users/ada/AppData/Roaming"]);
    disk.broken = Some("/w/drive_c/users/ada".into());
    assert!(matches!(places("/w", Some("ada"), &disk), Err(PrefixError::Unreadable { .. })));
}
