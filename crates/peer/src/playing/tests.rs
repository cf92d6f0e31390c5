use super::*;

#[test]
fn a_program_is_its_name_wherever_it_lies_and_however_it_is_spelled() {
    for name in ["doom", "DOOM.EXE", "/opt/games/Doom", r"Z:\games\doom.exe", " doom "] {
        assert_eq!(plain_name(name), "doom", "{name}");
    }
    assert_ne!(plain_name("doom2"), "doom");
    assert_eq!(plain_name("/"), "");
}

#[test]
fn nothing_is_found_by_no_hint_and_by_hints_that_lead_nowhere() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(is_running(&Hints::default()), Ok(false));
    let nowhere = vec![dir.path().join("nowhere")];
    let programs = vec!["a program that nobody runs".to_owned(), String::new(), "/".to_owned()];
    let hints = Hints { programs, under: nowhere.clone(), open_in: nowhere, pids: vec![(u32::MAX, 0)] };
    assert_eq!(is_running(&hints), Ok(false));
}

#[test]
fn this_process_never_counts() {
    let dir = tempfile::tempdir().unwrap();
    let _open = std::fs::File::create(dir.path().join("save")).unwrap();
    let program = std::env::current_exe().unwrap();
    let me = std::process::id();
    let hints = Hints {
        programs: vec![program.display().to_string()],
        under: vec![dir.path().to_owned()],
        open_in: vec![dir.path().to_owned()],
        pids: vec![(me, process_start(me).unwrap())],
    };
    assert_eq!(is_running(&hints), Ok(false));
}

#[cfg(unix)]
mod games {
    use std::io::{BufRead as _, BufReader};
    use std::path::Path;
    use std::process::{Child, ChildStdin, Command, Stdio};

    use tempfile::TempDir;

    use super::*;
    use crate::saves::LiveSaves as _;

    /// A shell as a game: says that it is ready once it has done what it is told, and waits.
    struct Game {
        child: Child,
        _input: ChildStdin,
    }

    impl Game {
        fn start(program: &Path, folder: &Path, what: &str) -> Self {
            let mut child = Command::new(program)
                .args(["-c", &format!("{what}; echo ready; read line")])
                .current_dir(folder)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let mut line = String::new();
            BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
            assert_eq!(line, "ready\n");
            let input = child.stdin.take().unwrap();
            Self { child, _input: input }
        }

        fn end(mut self) {
            self.child.kill().unwrap();
            self.child.wait().unwrap();
        }
    }

    impl Drop for Game {
        fn drop(&mut self) {
            // Ended already, unless a test failed.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }

    fn shell() -> PathBuf {
        std::fs::canonicalize("/bin/sh").unwrap()
    }

    /// The shell under a name and in a folder of its own. Copied by another process: a file that this one has open to write
    /// could not be run.
    fn shell_at(dir: &TempDir, path: &str) -> PathBuf {
        let at = dir.path().join(path);
        std::fs::create_dir_all(at.parent().unwrap()).unwrap();
        assert!(Command::new("cp").arg(shell()).arg(&at).status().unwrap().success());
        at
    }

    /// Found while it runs, by these hints, and not after.
    fn is_found_until_it_ends(game: Game, hints: &Hints) {
        assert_eq!(is_running(hints), Ok(true));
        game.end();
        assert_eq!(is_running(hints), Ok(false));
    }

    #[test]
    fn a_game_is_found_by_the_name_of_its_program() {
        let dir = tempfile::tempdir().unwrap();
        let program = shell_at(&dir, "bonfire-made-up-game-of-a-test");
        let hints = |name: &str| Hints { programs: vec![name.to_owned()], ..Hints::default() };
        let game = Game::start(&program, Path::new("/"), ":");
        assert_eq!(is_running(&hints("bonfire-made-up-game")), Ok(false), "another name that begins alike");
        is_found_until_it_ends(game, &hints("Bonfire-Made-Up-Game-Of-A-Test.EXE"));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_script_is_found_by_its_name_also_where_the_system_cuts_it() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let script = dir.path().join("bonfire-script-of-a-test");
        // Its own shell, given what a game is given: `-c` and what to do.
        let text = format!("#!{}\neval \"$2\"\n", shell().display());
        let mut write =
            Command::new("sh").args(["-c", "cat > \"$0\""]).arg(&script).stdin(Stdio::piped()).spawn().unwrap();
        std::io::Write::write_all(&mut write.stdin.take().unwrap(), text.as_bytes()).unwrap();
        assert!(write.wait().unwrap().success());
        std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
        let hints = |name: &str| Hints { programs: vec![name.to_owned()], ..Hints::default() };
        let game = Game::start(&script, Path::new("/"), ":");
        assert_eq!(is_running(&hints("bonfire-other")), Ok(false));
        is_found_until_it_ends(game, &hints("bonfire-script-of-a-test"));
    }

    #[test]
    fn a_game_is_found_by_the_folder_of_its_program_and_the_one_it_works_in() {
        let dir = tempfile::tempdir().unwrap();
        let program = shell_at(&dir, "games/doom/bin/doom");
        std::fs::create_dir_all(dir.path().join("games/quake/data")).unwrap();
        let under = |folder: &str| Hints { under: vec![dir.path().join(folder)], ..Hints::default() };
        let game = Game::start(&program, Path::new("/"), ":");
        assert_eq!(is_running(&under("games/quake")), Ok(false));
        is_found_until_it_ends(game, &under("games/doom"));
        let game = Game::start(&shell(), &dir.path().join("games/quake/data"), ":");
        assert_eq!(is_running(&under("games/doom")), Ok(false));
        is_found_until_it_ends(game, &under("games/quake"));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_game_is_found_by_a_save_that_it_has_open_to_write_and_not_by_one_that_it_reads() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("deep")).unwrap();
        let save = dir.path().join("deep/save");
        std::fs::write(&save, "x").unwrap();
        let hints = Hints { open_in: vec![dir.path().to_owned()], ..Hints::default() };
        let game = Game::start(&shell(), Path::new("/"), &format!("exec 3<'{}'", save.display()));
        assert_eq!(is_running(&hints), Ok(false));
        game.end();
        let game = Game::start(&shell(), Path::new("/"), &format!("exec 3>>'{}'", save.display()));
        is_found_until_it_ends(game, &hints);
    }

    #[test]
    fn a_game_is_played_while_something_works_beside_its_install_or_a_process_lives_that_was_named_of_it() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("games/doom");
        let installs = [root.join("local")];
        std::fs::create_dir_all(&installs[0]).unwrap();
        let machine = crate::machine::Machine::new(dir.path().join("data"));
        let is_used = |pids: &[u32]| machine.is_used(&root, &installs, pids);
        // As a package's own script does.
        let script = Game::start(&shell(), &root, ":");
        assert_eq!(is_used(&[]), Ok(true));
        script.end();
        let elsewhere = Game::start(&shell(), Path::new("/"), ":");
        let pid = elsewhere.child.id();
        assert_eq!((is_used(&[]), is_used(&[pid])), (Ok(false), Ok(true)));
        elsewhere.end();
        assert_eq!(is_used(&[pid]), Ok(false));
    }

    #[test]
    fn a_process_of_a_session_is_found_until_it_ends_and_a_later_one_of_its_number_is_not_it() {
        let game = Game::start(&shell(), Path::new("/"), ":");
        let pid = game.child.id();
        let start = process_start(pid).unwrap();
        assert_eq!(is_running(&Hints { pids: vec![(pid, start + 1)], ..Hints::default() }), Ok(false));
        is_found_until_it_ends(game, &Hints { pids: vec![(pid, start)], ..Hints::default() });
        assert_eq!(process_start(pid), None);
    }
}
