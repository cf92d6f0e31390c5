//! What a game's payload is: archives to unpack, or the files of the game themselves.
//!
//! Decides that by the names and first bytes of what lies in the game's root. Which files are one archive is `parts`'.

use bonfire_disk::install::is_program;

use crate::error::{UnpackError, Why};
use crate::parts::{Payload, PayloadFile, group};

/// What becomes of a game's payload in an install.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Package {
    /// These are unpacked, in order. The files of the root that are `beside` them are placed as they are; all others stay
    /// where they are.
    Archives {
        /// The archives.
        archives: Vec<Payload>,
        /// Names of the files to place.
        beside: Vec<String>,
    },
    /// Every file is placed as it is.
    Plain,
}

/// Endings of archives that games read as they are.
const CONTAINERS: &[&str] =
    &["apk", "epub", "ipk3", "iwad", "jar", "love", "mrpack", "pak", "pk3", "pk4", "pk7", "pke", "pkz", "xpi"];

/// What the payload is whose files right in the root these are, `version.ini` not among them. With `has_folders` there are
/// files in folders, too.
///
/// Where there is an `.eti`, the archives are the game and everything else is for who starts it. Where a program or a folder
/// lies among the files, they are a game as it is installed, and an archive among them is one that it reads. Elsewhere what
/// is an archive is unpacked, and the rest is put beside what comes out.
///
/// # Errors
/// What `group` says; an `.eti` that is no archive.
pub fn package(files: &[PayloadFile], has_folders: bool) -> Result<Package, UnpackError> {
    let is_eti = |name: &str| ends_with(name, "eti");
    let has_eti = files.iter().any(|file| is_eti(&file.name));
    if !has_eti && (has_folders || files.iter().any(|file| is_program(&file.head))) {
        return Ok(Package::Plain);
    }
    let is_container = |file: &&PayloadFile| CONTAINERS.iter().any(|ending| ends_with(&file.name, ending));
    let (as_they_are, files): (Vec<&PayloadFile>, Vec<&PayloadFile>) = files.iter().partition(is_container);
    let grouped = group(&files.into_iter().cloned().collect::<Vec<_>>())?;
    let (archives, plain): (Vec<Payload>, Vec<Payload>) =
        grouped.into_iter().partition(|payload| matches!(payload, Payload::Archive { .. }));
    if has_eti {
        let no_archive = plain.iter().find(|payload| is_eti(payload.name()));
        return match no_archive {
            Some(eti) => Err(UnpackError::new(eti.name(), Why::Format("not an archive of a known format".to_owned()))),
            None => Ok(Package::Archives { archives, beside: Vec::new() }),
        };
    }
    if archives.is_empty() {
        return Ok(Package::Plain);
    }
    let beside = plain.iter().map(|p| p.name().to_owned()).chain(as_they_are.iter().map(|f| f.name.clone())).collect();
    Ok(Package::Archives { archives, beside })
}

fn ends_with(name: &str, ending: &str) -> bool {
    name.rsplit_once('.').is_some_and(|(_, extension)| extension.eq_ignore_ascii_case(ending))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

    use super::*;

    const ZIP: &[u8] = b"PK\x03\x04rest of it";

    fn files(list: &[(&str, &[u8])]) -> Vec<PayloadFile> {
        let one = |(name, head): &(&str, &[u8])| PayloadFile {
            name: (*name).to_owned(),
            size: head.len() as u64,
            head: head.to_vec(),
        };
        list.iter().map(one).collect()
    }

    fn said(list: &[(&str, &[u8])], has_folders: bool) -> (Vec<String>, Vec<String>) {
        match package(&files(list), has_folders).unwrap() {
            Package::Plain => (Vec::new(), vec!["*".to_owned()]),
            Package::Archives { archives, beside } => (archives.iter().map(|a| a.name().to_owned()).collect(), beside),
        }
    }

    #[test]
    fn of_a_game_with_eti_archives_the_archives_alone_are_unpacked() {
        let list = [("a.eti", ZIP), ("game_start.cmd", b"start"), ("setup.exe", b"MZ"), ("b.ETI", ZIP)];
        assert_eq!(said(&list, true), (vec!["a.eti".into(), "b.ETI".into()], vec![]));
        let wrong = package(&files(&[("a.eti", b"no archive")]), false).unwrap_err();
        assert_eq!((wrong.archive.as_str(), wrong.class()), ("a.eti", bonfire_engine::ErrorClass::Corruption));
    }

    #[test]
    fn a_folder_in_which_a_program_or_a_folder_lies_is_a_game_as_it_is() {
        let plain = (vec![], vec!["*".to_owned()]);
        assert_eq!(said(&[("data.zip", ZIP), ("game.exe", b"MZ..")], false), plain);
        assert_eq!(said(&[("data.zip", ZIP), ("run", b"#!/bin/sh")], false), plain);
        assert_eq!(said(&[("data.zip", ZIP)], true), plain);
        assert_eq!(said(&[("doom.wad", b"IWAD")], false), plain);
        assert_eq!(said(&[], false), plain);
    }

    #[test]
    fn what_lies_beside_an_archive_is_placed_beside_what_comes_out_of_it() {
        let list = [("doom.zip", ZIP), ("readme.txt", b"read me"), ("extra.pk3", ZIP)];
        assert_eq!(said(&list, false), (vec!["doom.zip".into()], vec!["readme.txt".into(), "extra.pk3".into()]));
        assert_eq!(said(&[("extra.pk3", ZIP)], false), (vec![], vec!["*".to_owned()]));
    }
}
