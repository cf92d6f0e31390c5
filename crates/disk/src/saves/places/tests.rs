use std::fs as std_fs;

use tempfile::TempDir;

use super::*;
use crate::saves::{Capture, Listing, SaveStore};

#[cfg(unix)]
mod placed;

/// A home with a data folder in it.
struct Home {
    dir: TempDir,
}

impl Home {
    fn new() -> Self {
        let home = Self { dir: tempfile::tempdir().unwrap() };
        home.folder("data");
        home
    }

    fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    fn real(&self, path: &str) -> PathBuf {
        self.dir.path().canonicalize().unwrap().join(path)
    }

    fn folder(&self, path: &str) {
        std_fs::create_dir_all(self.path(path)).unwrap();
    }

    fn write(&self, path: &str) {
        std_fs::write(self.path(path), path).unwrap();
    }

    fn declared(&self, label: &str, path: &str, is_file: bool) -> DeclaredRoot {
        DeclaredRoot {
            label: RootLabel::new(label).unwrap(),
            path: self.path(path),
            is_file,
            include: Vec::new(),
            ignore: Vec::new(),
            exclude: Vec::new(),
            folds_names: false,
            name: None,
            only_as_such: false,
        }
    }

    fn look(&self, roots: &[DeclaredRoot]) -> Result<SavePlaces, SaveError> {
        SavePlaces::look(roots, &self.path("data"))
    }

    /// Why a set of folders is refused.
    fn unfit(&self, paths: &[&str]) -> Option<Unfit> {
        let labels = ('a'..).map(|c| c.to_string());
        let roots: Vec<_> = paths.iter().zip(labels).map(|(path, label)| self.declared(&label, path, false)).collect();
        match self.look(&roots) {
            Ok(_) => None,
            Err(SaveError::Unfit { why, .. }) => Some(why),
            Err(e) => panic!("{e}"),
        }
    }

    /// Paths that a capture of the roots takes.
    fn taken(&self, roots: &[SaveRoot]) -> Vec<String> {
        let data = self.path("data");
        let store = SaveStore::open(fs::real(&data).unwrap(), data).unwrap();
        match store.capture(roots, &Listing::new(), 9_000_000_000_000).unwrap() {
            Capture::Whole(captured) => captured.entries.iter().map(|e| e.path.as_str().to_owned()).collect(),
            Capture::Changing { path } => panic!("{path} changes"),
        }
    }
}

fn label(text: &str) -> RootLabel {
    RootLabel::new(text).unwrap()
}

#[test]
fn folders_and_single_files_are_opened_as_roots() {
    let home = Home::new();
    home.folder("games/doom/deep");
    home.write("games/doom/deep/a");
    home.write("doom.cfg");
    home.write("doom.cfg.bak");
    let roots = [home.declared("save", "games/doom", false), home.declared("config", "doom.cfg", true)];
    let opened = home.look(&roots).unwrap().open().unwrap();
    assert_eq!(opened.absent, []);
    assert_eq!(home.taken(&opened.roots), ["config/doom.cfg", "save/deep/a"]);
    let roots = [home.declared("config", "doom.cfg", false)];
    let opened = home.look(&roots).unwrap().open().unwrap();
    assert_eq!(home.taken(&opened.roots), ["config/doom.cfg"], "a file is one file whatever was said of it");
}

#[test]
fn what_is_not_there_is_absent_until_it_is_made() {
    let home = Home::new();
    let mut one = home.declared("one", "docs/games/doom", false);
    one.ignore = vec!["*.log".parse().unwrap()];
    let roots = [one, home.declared("two", "other/doom.cfg", true), home.declared("three", "quake.cfg", true)];
    let places = home.look(&roots).unwrap();
    let opened = places.open().unwrap();
    assert_eq!(opened.absent, [label("one"), label("two")]);
    assert_eq!(home.taken(&opened.roots), [""; 0], "a file that is not there leaves its folder a root");
    assert!(!home.path("docs").exists(), "opening makes nothing");
    assert_eq!(places.folders(), [home.real("docs/games/doom"), home.real("other"), home.real("")]);
    let all = ["one", "two", "three"].into();
    assert_eq!(places.create(&["three"].into()).unwrap().len(), 1);
    assert!(!home.path("docs").exists(), "what no file needs is not made");
    let made = places.create(&all).unwrap();
    assert_eq!(made.len(), 3);
    assert!(home.path("docs/games/doom").is_dir() && home.path("other").is_dir());
    home.write("docs/games/doom/a");
    home.write("docs/games/doom/a.log");
    home.write("other/doom.cfg");
    assert_eq!(home.taken(&made), ["one/a", "two/doom.cfg"]);
    assert_eq!(home.look(&roots).unwrap().open().unwrap().absent, []);
    assert_eq!(places.create(&all).unwrap().len(), 3, "making them twice is as once");
}

#[test]
fn what_is_in_the_way_is_an_error_and_not_absent() {
    let home = Home::new();
    home.folder("folder");
    home.write("file");
    let in_the_way = |path: &str, is_file: bool| match home.look(&[home.declared("save", path, is_file)]) {
        Err(SaveError::Disk(DiskError::InTheWay { path, .. })) => path,
        other => panic!("{:?}", other.map(|p| p.folders())),
    };
    assert_eq!(in_the_way("folder", true), home.path("folder"));
    assert_eq!(in_the_way("file/save", false), home.real("file"));
    assert_eq!(in_the_way("file/save", true), home.real("file"));
    assert_eq!(in_the_way("file/deep/save", true), home.real("file"));
}

#[test]
fn a_root_neither_holds_the_data_folder_nor_lies_in_it_nor_in_another_root() {
    let home = Home::new();
    home.folder("a/b");
    let refused = Some(Unfit::Within(label("a")));
    assert_eq!(home.unfit(&["data"]), Some(Unfit::InData));
    assert_eq!(home.unfit(&["data/not/there"]), Some(Unfit::InData));
    assert_eq!(home.unfit(&[""]), Some(Unfit::HoldsData));
    assert_eq!(home.unfit(&["a", "a/b"]), refused);
    assert_eq!(home.unfit(&["a/b/c", "a"]), refused);
    assert_eq!(home.unfit(&["x/y", "x/y"]), refused);
    assert_eq!(home.unfit(&["a/b", "a/bb", "ab"]), None);
    let twice = [home.declared("save", "a/b", false), home.declared("save", "x", false)];
    assert!(matches!(home.look(&twice), Err(SaveError::Unfit { why: Unfit::SameLabel, .. })));
}

#[test]
fn a_single_file_may_lie_beside_the_data_folder_and_other_single_files() {
    let home = Home::new();
    home.folder("a");
    let files = |paths: &[&str]| {
        let roots: Vec<_> = paths.iter().zip(["x", "y"]).map(|(p, label)| home.declared(label, p, true)).collect();
        home.look(&roots).map(|_| ()).map_err(|e| e.code())
    };
    assert_eq!(files(&["a.cfg", "b.cfg"]), Ok(()));
    assert_eq!(files(&["a.cfg", "a.cfg"]), Err("unfit_root"));
    assert_eq!(files(&["data/a.cfg"]), Err("unfit_root"));
    let within = [home.declared("x", "a", false), home.declared("y", "a/b.cfg", true)];
    assert!(matches!(home.look(&within), Err(SaveError::Unfit { why: Unfit::Within(_), .. })));
}

#[test]
fn a_single_file_has_a_name_that_stands_for_itself_alone() {
    let home = Home::new();
    for name in ["*", "save?.dat", "**", "a:b", "con.txt", ".bonfire.x", "a.conflict-tablet"] {
        let look = home.look(&[home.declared("save", name, true)]);
        assert!(matches!(look, Err(SaveError::Unfit { why: Unfit::Name, .. })), "{name}");
    }
    let relative = DeclaredRoot { path: "save".into(), ..home.declared("save", "", false) };
    assert!(matches!(home.look(&[relative]), Err(SaveError::Unfit { why: Unfit::NotAbsolute, .. })));
    let top = home.path("").ancestors().last().unwrap().to_owned();
    let top = DeclaredRoot { path: top, ..home.declared("save", "", false) };
    assert!(matches!(home.look(&[top]), Err(SaveError::Unfit { why: Unfit::Top, .. })));
}

#[test]
fn copies_go_beside_the_folder_or_the_file() {
    let home = Home::new();
    home.folder("games/doom");
    let roots = [
        home.declared("save", "games/doom", false),
        home.declared("config", "games/doom.cfg", true),
        home.declared("other", "not/there", false),
        home.declared("gone", "quake", false),
    ];
    let copies = home.look(&roots).unwrap().copy_places().unwrap();
    let shown: Vec<_> =
        copies.iter().map(|c| (c.label.as_str(), c.beside.clone(), c.name.as_str(), c.is_file)).collect();
    assert_eq!(
        shown,
        [
            ("save", home.real("games"), "doom", false),
            ("config", home.real("games"), "doom.cfg", true),
            ("gone", home.real(""), "quake", false),
        ]
    );
}

#[test]
#[cfg(unix)]
fn links_on_the_way_are_resolved_and_one_that_leads_nowhere_is_in_the_way() {
    use std::os::unix::fs::symlink;
    let home = Home::new();
    home.folder("documents/doom");
    home.write("documents/doom/a");
    home.folder("prefix");
    symlink(home.path("documents"), home.path("prefix/documents")).unwrap();
    symlink(home.path("unmounted"), home.path("disk")).unwrap();
    symlink(home.path("documents/doom/a"), home.path("linked")).unwrap();
    let roots = [home.declared("save", "prefix/documents/doom", false)];
    let opened = home.look(&roots).unwrap().open().unwrap();
    assert_eq!(opened.roots[0].folder, home.real("documents/doom"));
    assert_eq!(home.taken(&opened.roots), ["save/a"]);
    assert_eq!(home.unfit(&["documents", "prefix/documents/doom"]), Some(Unfit::Within(label("a"))));
    for path in ["disk", "disk/doom"] {
        let look = home.look(&[home.declared("save", path, false)]).map(|p| p.folders());
        assert!(matches!(look, Err(SaveError::Disk(DiskError::InTheWay { .. }))), "{look:?}");
    }
    let opened = home.look(&[home.declared("save", "linked", true)]).unwrap().open().unwrap();
    assert_eq!(home.taken(&opened.roots), [""; 0], "what a link in the place of the file leads to is not the save's");
}

#[test]
#[cfg(unix)]
fn what_may_not_be_looked_at_is_not_absent() {
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    let home = Home::new();
    symlink("round", home.path("round")).unwrap();
    assert!(matches!(
        home.look(&[home.declared("save", "round/doom", false)]),
        Err(SaveError::Disk(DiskError::Io { .. }))
    ));
    home.folder("locked/doom");
    std_fs::set_permissions(home.path("locked"), std_fs::Permissions::from_mode(0o000)).unwrap();
    // Nothing is forbidden to root.
    if std_fs::read_dir(home.path("locked")).is_err() {
        let look = home.look(&[home.declared("save", "locked/doom", false)]);
        assert_eq!(look.map(|p| p.folders()).map_err(|e| e.code()), Err("permission_denied"));
    }
    std_fs::set_permissions(home.path("locked"), std_fs::Permissions::from_mode(0o700)).unwrap();
}

#[test]
fn two_kinds_of_one_path_are_there_until_one_of_them_is() {
    let home = Home::new();
    home.folder("data");
    home.folder("parent");
    let as_folder = DeclaredRoot { only_as_such: true, ..home.declared("folder", "parent/save", false) };
    let as_file = DeclaredRoot {
        only_as_such: true,
        name: Some("<id>.sav".replace(['<', '>'], "")),
        exclude: vec!["save/*".parse().unwrap()],
        ..home.declared("file", "parent/save", true)
    };
    let roots = [as_folder, as_file];
    let labels = |roots: &[SaveRoot]| roots.iter().map(|r| r.label.as_str().to_owned()).collect::<Vec<_>>();
    let open = || home.look(&roots).unwrap().open().unwrap().roots;
    assert_eq!(labels(&open()), ["file"], "a folder that is not there is absent");
    assert_eq!(home.look(&roots).unwrap().folders(), [home.real("parent/save")]);
    home.write("parent/save");
    assert_eq!(home.taken(&open()), ["file/id.sav"], "a file has its name of snapshots");
    assert!(home.look(&roots).unwrap().create(&["folder"].into()).is_err(), "a file is in the folder's way");
    std_fs::remove_file(home.path("parent/save")).unwrap();
    let made = home.look(&roots).unwrap().create(&["folder"].into()).unwrap();
    assert!(home.path("parent/save").is_dir());
    home.write("parent/save/a");
    assert_eq!(home.taken(&made), ["folder/a"]);
    assert_eq!(home.taken(&open()), ["folder/a"]);
    assert!(home.look(&roots).unwrap().create(&["file"].into()).is_err(), "a folder is in the file's way");
}

#[test]
fn a_root_within_another_is_fine_only_when_they_have_no_file_in_common() {
    let home = Home::new();
    home.folder("data");
    for file in ["game/a.sav", "game/slots/b.SAV", "game/slots/c.log", "game/[x]/d.sav"] {
        home.folder(Path::new(file).parent().unwrap().to_str().unwrap());
        home.write(file);
    }
    let patterns = |list: &[&str]| list.iter().map(|p| p.parse().unwrap()).collect::<Vec<_>>();
    let outer = |exclude: &[&str]| DeclaredRoot { exclude: patterns(exclude), ..home.declared("outer", "game", false) };
    let inner = |path: &str| DeclaredRoot {
        include: patterns(&["*.sav"]),
        folds_names: true,
        ..home.declared("inner", path, false)
    };
    let refused =
        |roots: &[DeclaredRoot]| matches!(home.look(roots), Err(SaveError::Unfit { why: Unfit::Within(_), .. }));
    assert!(refused(&[outer(&[]), inner("game/slots")]));
    assert!(refused(&[outer(&["slots/*.log"]), inner("game/slots")]));
    assert!(refused(&[inner("game"), outer(&[])]));
    let taken = |roots: &[DeclaredRoot]| home.taken(&home.look(roots).unwrap().open().unwrap().roots);
    assert!(refused(&[outer(&["slots/*.sav"]), inner("game/slots")]), "case counts for one of them only");
    let folding = DeclaredRoot { folds_names: true, ..outer(&["slots/*.sav"]) };
    assert_eq!(
        taken(&[folding, inner("game/slots")]),
        ["inner/b.SAV", "outer/[x]/d.sav", "outer/a.sav", "outer/slots/c.log"]
    );
    assert_eq!(taken(&[outer(&["slots"]), inner("game/slots")]), ["inner/b.SAV", "outer/[x]/d.sav", "outer/a.sav"]);
    assert_eq!(taken(&[inner("game/[x]"), outer(&["[[]x]", "slots"])]), ["inner/d.sav", "outer/a.sav"]);
}
