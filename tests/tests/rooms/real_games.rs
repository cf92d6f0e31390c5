//! Real games, played by script in a terminal on one machine, quit with a save, and continued on another.

use std::path::{Path, PathBuf};

use bonfire_tests::peer::{LONG, Peer};
use bonfire_tests::program::bonfire;
use bonfire_tests::saves::in_step;
use bonfire_tests::terminal::Terminal;
use bonfire_tests::{Room, tree};

#[test]
fn nethack_goes_on_on_another_machine() {
    if !is_here("nethack_goes_on_on_another_machine", NETHACK, "nethack-console") {
        return;
    }
    let Some(room) = Room::new("nethack") else { return };
    let (a, b) = paired(&room);
    let (here, there) = (NetHack::new(&a), NetHack::new(&b));
    a.done(&["saves", "add", "nethack", here.saves().to_str().unwrap()]);
    b.done(&["saves", "add", "nethack", there.saves().to_str().unwrap()]);
    let mut game = here.play(&a);
    game.begins_anew();
    game.names_the_level("told on a");
    let turn = game.searches();
    game.saves();
    in_step(&[&a, &b], "nethack");
    assert_eq!(tree::read(&here.saves()), tree::read(&there.saves()));
    let first = tree::read(&there.saves());
    // It deletes its save when it loads it: while it is played that is no loss, and nothing is told to anyone.
    let mut game = there.play(&b);
    assert_eq!(game.goes_on(), turn, "the turn at which it was saved");
    game.says_of_the_level("told on a");
    b.until("the game took its save", LONG, || tree::read(&there.saves()).is_empty().then_some(()));
    assert_eq!(tree::read(&here.saves()), first, "the other machine keeps what it has");
    game.names_the_level("told on b");
    let turn = game.searches();
    game.saves();
    in_step(&[&a, &b], "nethack");
    let mut game = here.play(&a);
    assert_eq!(game.goes_on(), turn);
    game.says_of_the_level("told on b");
    game.saves();
    in_step(&[&a, &b], "nethack");
    assert!(a.done(&["saves", "conflicts"]).lines.is_empty());
    assert_eq!(a.history("nethack").len(), 3);
}

#[test]
fn nethack_started_without_bonfire_loses_nothing() {
    if !is_here("nethack_started_without_bonfire_loses_nothing", NETHACK, "nethack-console") {
        return;
    }
    let Some(room) = Room::new("nethack-alone") else { return };
    let (a, b) = paired(&room);
    let (here, there) = (NetHack::new(&a), NetHack::new(&b));
    a.done(&["saves", "add", "nethack", here.saves().to_str().unwrap()]);
    b.done(&["saves", "add", "nethack", there.saves().to_str().unwrap()]);
    let mut game = here.play(&a);
    game.begins_anew();
    let turn = game.searches();
    game.saves();
    in_step(&[&a, &b], "nethack");
    let first = tree::read(&here.saves());
    // The save is gone from the disk, and nobody said that a game would do that.
    let mut game = NetHackGame(Terminal::new(b.link.namespace(), &there.line(NETHACK)));
    assert_eq!(game.goes_on(), turn);
    b.slot_until("nethack", "the empty folder is held", |s| s["standing"] == "held");
    assert_eq!(tree::read(&here.saves()), first, "it spreads nowhere");
    game.searches();
    game.saves();
    // The save is back, which answers the question.
    in_step(&[&a, &b], "nethack");
    assert_eq!(tree::read(&here.saves()), tree::read(&there.saves()));
    assert_ne!(tree::read(&here.saves()), first);
}

#[test]
fn crawl_goes_on_on_another_machine() {
    if !is_here("crawl_goes_on_on_another_machine", CRAWL, "crawl") {
        return;
    }
    let Some(room) = Room::new("crawl") else { return };
    let (a, b) = paired(&room);
    let (here, there) = (Crawl::new(&a), Crawl::new(&b));
    a.done(&["saves", "add", "crawl", here.saves().to_str().unwrap()]);
    b.done(&["saves", "add", "crawl", there.saves().to_str().unwrap()]);
    let mut game = here.play(&a);
    game.shows("Welcome, Ann");
    game.types(".").shows("Time: 1.0");
    annotate(&mut game, "told on a");
    save_crawl(&mut game);
    in_step(&[&a, &b], "crawl");
    let files = tree::read(&there.saves());
    assert_eq!(files, tree::read(&here.saves()));
    assert!(files.values().filter(|v| v.is_some()).count() > 100, "a save of many files: {}", files.len());
    let mut game = there.play(&b);
    let screen = game.shows("Welcome back, Ann");
    assert!(screen.contains("Level annotation: told on a") && screen.contains("Time: 1.0"), "{screen}");
    game.types(".").shows("Time: 2.0");
    annotate(&mut game, ", then on b");
    save_crawl(&mut game);
    in_step(&[&a, &b], "crawl");
    let mut game = here.play(&a);
    let screen = game.shows("Welcome back, Ann");
    assert!(screen.contains("Level annotation: told on a, then on b") && screen.contains("Time: 2.0"), "{screen}");
    save_crawl(&mut game);
    in_step(&[&a, &b], "crawl");
    assert_eq!(tree::read(&here.saves()), tree::read(&there.saves()));
    assert!(b.done(&["saves", "conflicts"]).lines.is_empty());
}

#[test]
fn the_games_of_the_scenarios_can_be_played_by_script() {
    let Some(room) = Room::new("scripted") else { return };
    let a = room.seat("a");
    if is_here("the_games_of_the_scenarios_can_be_played_by_script", NETHACK, "nethack-console") {
        let nethack = NetHack::new(&a);
        let begin = || NetHackGame(Terminal::new(a.link.namespace(), &nethack.line(NETHACK)));
        let mut game = begin();
        game.begins_anew();
        game.names_the_level("told");
        let turn = game.searches();
        game.saves();
        assert_eq!(tree::read(&nethack.saves()).len(), 1);
        let mut game = begin();
        assert_eq!(game.goes_on(), turn);
        game.says_of_the_level("told");
        assert!(tree::read(&nethack.saves()).is_empty(), "it deletes its save when it loads it");
        game.saves();
    }
    if is_here("the_games_of_the_scenarios_can_be_played_by_script", CRAWL, "crawl") {
        let crawl = Crawl::new(&a);
        let mut game = Terminal::new(a.link.namespace(), &format!("exec {}", crawl.command()));
        game.shows("Welcome, Ann");
        annotate(&mut game, "told");
        save_crawl(&mut game);
        let mut game = Terminal::new(a.link.namespace(), &format!("exec {}", crawl.command()));
        game.shows("Welcome back, Ann");
        save_crawl(&mut game);
    }
}

const NETHACK: &str = "/usr/games/nethack";
const CRAWL: &str = "/usr/games/crawl";
const ESCAPE: &str = "\x1b";

/// NetHack with a playground of its own: the package's is bound over within the namespace of whoever plays.
struct NetHack {
    playground: PathBuf,
    options: PathBuf,
}

impl NetHack {
    fn new(peer: &Peer) -> Self {
        let folder = peer.data.with_file_name("nethack");
        let (playground, options) = (folder.join("playground"), folder.join("options"));
        for part in ["save", "dumps"] {
            std::fs::create_dir_all(playground.join(part)).unwrap();
        }
        for file in ["logfile", "perm", "record", "xlogfile"] {
            std::fs::write(playground.join(file), "").unwrap();
        }
        let text = "OPTIONS=name:Ann,role:Valkyrie,race:human,gender:female,align:neutral,pettype:none\n\
                    OPTIONS=!legacy,!news,!splash_screen,!autopickup,!mail,time,!color,!tombstone,!number_pad,windowtype:tty\n";
        std::fs::write(&options, text).unwrap();
        Self { playground, options }
    }

    fn saves(&self) -> PathBuf {
        self.playground.join("save")
    }

    fn line(&self, command: &str) -> String {
        let (playground, options) = (self.playground.display(), self.options.display());
        // A namespace of mounts comes with every `ip netns exec`, so nobody else sees this one.
        format!("mount --bind {playground} /var/games/nethack && NETHACKOPTIONS={options} exec {command}")
    }

    fn play(&self, peer: &Peer) -> NetHackGame {
        NetHackGame(Terminal::new(peer.link.namespace(), &self.line(&through(peer, "nethack", NETHACK))))
    }
}

/// A game of it that runs. What the dungeon does is chance; what is done here does not depend on it.
struct NetHackGame(Terminal);

impl NetHackGame {
    fn begins_anew(&mut self) {
        self.0.shows("welcome to NetHack");
    }

    /// Waits for the dungeon after a restore; the turn.
    fn goes_on(&mut self) -> u32 {
        self.0.shows("Restoring save file");
        self.0.types(ESCAPE).shows_one(&["T:"]);
        self.turn()
    }

    /// Types a command; whatever the dungeon had to say before is put away.
    fn does(&mut self, keys: &str, until: &str) -> String {
        self.0.types(&format!("{ESCAPE}{ESCAPE}{keys}")).shows(until)
    }

    fn names_the_level(&mut self, name: &str) {
        self.0.types(&format!("{ESCAPE}{ESCAPE}#annotate\r"));
        self.0.shows_one(&["call this dungeon level", "Replace annotation"]);
        self.0.types(&format!("{name}\r"));
        self.says_of_the_level(name);
    }

    fn says_of_the_level(&mut self, name: &str) {
        self.does("#overview\r", name);
        self.0.types(ESCAPE);
    }

    /// Lets time pass; the turn then.
    fn searches(&mut self) -> u32 {
        let before = self.turn();
        self.0.types(&format!("{ESCAPE}{ESCAPE}20s"));
        // The search is over when a question is asked after it.
        self.does("S", "Really save?");
        self.0.types("n");
        let after = self.turn();
        assert!(after > before, "from turn {before} to {after}");
        after
    }

    fn saves(&mut self) {
        self.does("S", "Really save?");
        self.0.types("y");
        assert!(self.0.ends().success(), "{}", self.0.screen());
    }

    fn turn(&self) -> u32 {
        let screen = self.0.shows("T:");
        let digits: String =
            screen.rsplit("T:").next().unwrap_or_default().chars().take_while(char::is_ascii_digit).collect();
        digits.parse().unwrap_or(0)
    }
}

/// Crawl with a folder of its own.
struct Crawl {
    folder: PathBuf,
}

impl Crawl {
    fn new(peer: &Peer) -> Self {
        let folder = peer.data.with_file_name("crawl");
        std::fs::create_dir_all(folder.join("saves")).unwrap();
        std::fs::write(
            folder.join("rc"),
            "weapon = war axe\nshow_more = false\nrestart_after_game = false\nrestart_after_save = false\n",
        )
        .unwrap();
        Self { folder }
    }

    fn saves(&self) -> PathBuf {
        self.folder.join("saves")
    }

    fn command(&self) -> String {
        let at = self.folder.display();
        format!("{CRAWL} -dir {at} -rc {at}/rc -name Ann -species minotaur -background fighter -seed 7")
    }

    fn play(&self, peer: &Peer) -> Terminal {
        Terminal::new(peer.link.namespace(), &format!("exec {}", through(peer, "crawl", &self.command())))
    }
}

/// Says something of the level, after what was said of it before.
fn annotate(game: &mut Terminal, text: &str) {
    game.types("!").shows("Annotate which branch?");
    game.types(".").shows_one(&["New annotation for D:1", "annotation"]);
    game.types(&format!("{text}\r")).shows(text);
}

fn save_crawl(game: &mut Terminal) {
    game.types("\x13");
    assert!(game.ends().success(), "{}", game.screen());
}

fn through(peer: &Peer, game: &str, command: &str) -> String {
    format!("{} --data-dir {} play {game} -- {command}", bonfire().display(), peer.data.display())
}

/// Two devices of one player.
fn paired(room: &Room) -> (Peer, Peer) {
    let (a, b) = (room.peer("a"), room.peer("b"));
    a.done(&["devices", "create-player", "ann"]);
    a.invites(&b);
    (a, b)
}

#[allow(clippy::print_stderr, reason = "a skipped scenario has to be seen")]
fn is_here(test: &str, program: &str, package: &str) -> bool {
    let here = Path::new(program).exists();
    if !here {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "CI needs the package {package}");
        eprintln!("\n*** SKIPPED: {test}: no {program}; install the package {package} ***\n");
    }
    here
}
