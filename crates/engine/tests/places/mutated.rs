//! Manifests broken at random: reading and placing them ends, and no root leaves its place.

use bonfire_engine::places::{Choice, GameFacts, Index, Source, TitleNames, manifest, place};

use crate::SAMPLE;
use crate::disk::{linux, prefix, windows};

/// What breaks YAML and paths, put in at random.
const SHARDS: &[&str] = &[
    "\n",
    ":",
    ": ",
    "- ",
    "  ",
    "\t",
    "<",
    ">",
    "*",
    "&a ",
    "*a",
    "[",
    "]",
    "{",
    "}",
    "'",
    "\"",
    "|",
    "?",
    "#",
    "!!int ",
    "---\n",
    "...\n",
    "%",
    "..",
    "/",
    "\\",
    "\u{0}",
    "\u{feff}",
    "é",
    "\u{202e}",
    "<base>",
    "<storeUserId>",
    "**",
    "null",
    "~",
    "1e999",
    ".nan",
    "0x10",
    "<<: ",
];

struct Dice(u64);

impl Dice {
    // xorshift; the seed is the number of the run.
    fn roll(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % (n.max(1) as u64)).unwrap()
    }
}

fn mutate(text: &str, dice: &mut Dice) -> String {
    let mut chars: Vec<char> = text.chars().collect();
    for _ in 0..=dice.roll(4) {
        let at = dice.roll(chars.len());
        match dice.roll(5) {
            0 => {
                let len = dice.roll(40).min(chars.len() - at);
                chars.drain(at..at + len);
            }
            1 => {
                let len = dice.roll(200).min(chars.len() - at);
                let part: Vec<char> = chars[at..at + len].to_vec();
                let to = dice.roll(chars.len());
                chars.splice(to..to, part);
            }
            2 => chars.truncate(chars.len().max(400) - dice.roll(300)),
            _ => {
                let shard = SHARDS[dice.roll(SHARDS.len())];
                chars.splice(at..at, shard.chars());
            }
        }
    }
    chars.into_iter().collect()
}

#[test]
fn whatever_a_manifest_says_reading_and_placing_it_ends_and_stays_within_the_places() {
    let (in_prefix, disk) = prefix(&[]);
    let machines = [windows(), linux(), in_prefix];
    let game = GameFacts {
        base: Some("/games/x/local".into()),
        root: Some("/games".into()),
        store_user_ids: vec!["7".into(), "8".into()],
        ..GameFacts::default()
    };
    let (mut read, mut refused, mut roots) = (0, 0, 0);
    for seed in 1..=800u64 {
        let text = mutate(SAMPLE, &mut Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
        let index = match manifest::parse(&text) {
            Ok(index) => index,
            Err(e) => {
                refused += 1;
                assert!(!e.to_string().contains('\n'), "seed {seed}: {e}");
                continue;
            }
        };
        read += 1;
        assert_eq!(Index::from_lines(&index.to_lines(&Source::default()).unwrap()).unwrap(), index, "seed {seed}");
        let _ = TitleNames::of(&index).find("x", "Tin Comet");
        for (name, title) in index.titles() {
            for places in &machines {
                let all = place(name, title, &game, places, &disk, Choice { with_settings: true });
                for root in &all.roots {
                    roots += 1;
                    let parts: Vec<&str> = root.folder.split(['/', '\\']).collect();
                    assert!(!parts.contains(&".."), "seed {seed}: {root:?}");
                    let within = ["/games", "/home/ada", "C:\\Users", "C:\\ProgramData", "C:\\Windows"];
                    assert!(within.iter().any(|w| root.folder.starts_with(w)), "seed {seed}: {root:?}");
                    assert!((1..=32).contains(&root.label.len()), "seed {seed}: {root:?}");
                }
            }
        }
    }
    println!("{read} read, {refused} refused, {roots} roots");
    assert!(read > 100 && refused > 100, "{read} read, {refused} refused: the mutations test nothing");
}

#[test]
fn no_bytes_make_the_reader_stop() {
    for seed in 1..=1_500u64 {
        let mut dice = Dice(seed);
        let text: String = (0..dice.roll(400)).map(|_| SHARDS[dice.roll(SHARDS.len())]).collect();
        let _ = manifest::parse(&text);
    }
}
