//! Where the saves of a game lie here, by the catalog, the imported manifest and what the game brings itself: shown by
//! `saves find`, and declared by `saves add` without a path once a person said yes. Guesses nothing: what is ambiguous is
//! refused with the candidates.

use std::io::Read;
use std::path::{Path, PathBuf};

use bonfire_engine::command::{Placed, RootSpec};
use bonfire_engine::places::index::FileRule;
use bonfire_engine::places::manifest::{self, OWN_MANIFEST_LEN_MAX};
use bonfire_engine::places::matching::own_title;
use bonfire_engine::places::{Choice, Existing, Listing, Match, Root, SaveRoots, Shape, Title, TitleNames, place};
use bonfire_engine::{ErrorClass, Report, Snapshot};
use bonfire_proto::{GameId, RelPath};
use serde::Serialize;

use super::machines::{self, Disk, Machine};
use super::manifest::look_up;
use crate::render::{count, shown};

/// What a game may bring in its folder.
const OWN: &str = ".ludusavi.yaml";
/// Most names that are looked at to count the files of a root.
const LOOK_MAX: usize = 10_000;

/// A game.
#[derive(Debug, Clone)]
pub(super) struct Game {
    pub(super) id: GameId,
    pub(super) name: String,
    /// Where the catalog says that its saves lie.
    saves: Vec<String>,
}

/// What a person asks for.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Asked<'a> {
    /// The title in the manifest.
    pub(super) title: Option<&'a str>,
    /// The prefix that the game runs in.
    pub(super) prefix: Option<&'a Path>,
    /// Whether settings are meant too.
    pub(super) with_config: bool,
    /// Whether what the game's own folder says is believed.
    pub(super) with_own: bool,
}

/// Who says where the saves lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum By {
    Catalog,
    Manifest,
    Game,
}

/// What is known of a game's saves.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub(super) name: String,
    pub(super) by: By,
    title: Title,
}

/// Where a game's saves lie here.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) known: Known,
    pub(super) prefix: Option<PathBuf>,
    pub(super) roots: SaveRoots,
}

/// A root as it is shown.
#[derive(Debug, Serialize)]
struct RootView<'a> {
    label: &'a str,
    path: String,
    shape: Shape,
    rule: &'a str,
    files: usize,
    from_game_folder: bool,
    moves_to_other_systems: bool,
}

/// What is found, as it is shown.
#[derive(Debug, Serialize)]
pub(super) struct FoundView<'a> {
    game: &'a GameId,
    title: &'a str,
    by: By,
    prefix: Option<&'a Path>,
    roots: Vec<RootView<'a>>,
    skipped: Vec<SkippedView<'a>>,
    registry: Vec<&'a str>,
    cloud: Vec<&'a str>,
}

#[derive(Debug, Serialize)]
struct SkippedView<'a> {
    rule: &'a str,
    why: String,
}

/// The file in which a game says itself where its saves lie, if it brings one.
pub(super) fn own_manifest(games_dir: &Path, game: &GameId) -> Option<PathBuf> {
    let root = games_dir.join(game.as_str());
    let is_file = |p: &PathBuf| std::fs::symlink_metadata(p).is_ok_and(|m| m.is_file());
    [root.join(OWN), root.join("local").join(OWN)].into_iter().find(is_file)
}

/// What is known of the game's saves: by the catalog, else by the manifest; and what the game says itself, when that is
/// asked for. `None` when nobody knows anything.
///
/// # Errors
/// When several titles fit, or the title that was named is not there; when a manifest cannot be read.
pub(super) fn known(
    data_dir: &Path,
    games_dir: &Path,
    view: &Game,
    asked: &Asked<'_>,
) -> Result<Option<Known>, Report> {
    let mut found = match asked.title {
        None if !view.saves.is_empty() => {
            let files = view.saves.iter().map(|p| FileRule { path: p.clone(), ..FileRule::default() }).collect();
            let title = Title { files, ..Title::default() };
            Some(Known { name: view.name.clone(), by: By::Catalog, title })
        }
        _ => in_manifest(data_dir, view, asked.title)?,
    };
    if let Some(path) = own_manifest(games_dir, &view.id).filter(|_| asked.with_own) {
        let (name, own) = read_own(&path, view)?;
        match &mut found {
            Some(known) => known.title.merge(own),
            None => {
                let mut title = Title::default();
                title.merge(own);
                found = Some(Known { name, by: By::Game, title });
            }
        }
    }
    Ok(found)
}

fn in_manifest(data_dir: &Path, view: &Game, title: Option<&str>) -> Result<Option<Known>, Report> {
    let (id, name) = title.map_or((view.id.as_str(), view.name.as_str()), |t| (t, t));
    let Some(index) = look_up(data_dir, &[id, name])? else { return Ok(None) };
    match TitleNames::of(&index).find(id, name) {
        Match::Title { name, .. } => {
            let title = index.titles().get(&name).cloned().unwrap_or_default();
            Ok(Some(Known { name, by: By::Manifest, title }))
        }
        Match::Ambiguous(names) => Err(ambiguous(&view.id, &names)),
        Match::Unknown if title.is_some() => {
            let text = format!("the manifest has no game {}", shown(name));
            Err(Report::new(ErrorClass::NotFound, "no_such_title", text))
        }
        Match::Unknown => Ok(None),
    }
}

fn ambiguous(game: &GameId, names: &[String]) -> Report {
    let names: Vec<String> = names.iter().map(|n| format!("{:?}", shown(n))).collect();
    let text = format!("{game} may be one of {}", names.join(", "));
    Report::new(ErrorClass::Refused, "several_titles", text).hint("name the one that it is with --title")
}

fn read_own(path: &Path, view: &Game) -> Result<(String, Title), Report> {
    let refused = |why: String| Report::new(ErrorClass::Refused, "bad_manifest", format!("{}: {why}", path.display()));
    let mut text = String::new();
    let read =
        std::fs::File::open(path).and_then(|f| f.take(OWN_MANIFEST_LEN_MAX as u64 + 1).read_to_string(&mut text));
    read.map_err(|e| refused(e.to_string()))?;
    let index = manifest::parse_own(&text).map_err(|e| refused(e.to_string()))?;
    match own_title(&index, view.id.as_str(), &view.name) {
        Match::Title { name, .. } => {
            let title = index.titles().get(&name).cloned().unwrap_or_default();
            Ok((name, title))
        }
        Match::Ambiguous(names) => Err(ambiguous(&view.id, &names)),
        Match::Unknown => Err(refused("it has no game".to_owned())),
    }
}

/// Where that is on this machine: natively or in a prefix, whichever has the save.
///
/// # Errors
/// When that cannot be told, or nothing can be placed.
pub(super) fn locate(games_dir: &Path, game: &GameId, known: Known, asked: &Asked<'_>) -> Result<Found, Report> {
    let choice = Choice { with_settings: asked.with_config };
    let machines = machines::of(&games_dir.join(game.as_str()), &known.title, asked.prefix)?;
    let mut placed: Vec<(Machine, SaveRoots)> = machines
        .into_iter()
        .map(|m| {
            let roots = place(&known.name, &known.title, &m.facts, &m.places, &Disk, choice);
            (m, roots)
        })
        .collect();
    let has_files = |roots: &SaveRoots| roots.roots.iter().any(|r| files(r) > 0);
    let filled: Vec<bool> = placed.iter().map(|(_, roots)| has_files(roots)).collect();
    // Where nothing lies yet, a prefix that was made for the game says how it runs.
    let usable = |at: &usize| !placed[*at].1.roots.is_empty();
    let with_files: Vec<usize> = (0..placed.len()).filter(|at| filled[*at]).collect();
    let prefixes: Vec<usize> = (0..placed.len()).filter(|at| placed[*at].0.prefix.is_some()).filter(usable).collect();
    let candidates = if with_files.is_empty() { prefixes } else { with_files };
    let at = match candidates.as_slice() {
        [] => 0,
        [only] => *only,
        several => {
            let names: Vec<String> = several
                .iter()
                .map(|at| placed[*at].0.prefix.as_ref().map_or("no prefix".to_owned(), |p| p.display().to_string()))
                .collect();
            let text = format!("the save of {game} may lie in several places: {}", names.join(", "));
            return Err(Report::new(ErrorClass::Refused, "several_places", text)
                .hint("name the prefix with --prefix FOLDER, or the path: bonfire saves add GAME PATH"));
        }
    };
    let (machine, roots) = placed.swap_remove(at);
    Ok(Found { known, prefix: machine.prefix, roots })
}

/// How many files of a root lie there; those beyond `LOOK_MAX` names are not counted.
fn files(root: &Root) -> usize {
    let (mut folders, mut seen, mut found) = (vec![String::new()], 0, 0);
    while let Some(at) = folders.pop() {
        let Listing::Names(names) = Disk.list(&Path::new(&root.folder).join(&at).display().to_string()) else {
            continue;
        };
        for name in names {
            seen += 1;
            if seen > LOOK_MAX {
                return found;
            }
            let local = if at.is_empty() { name } else { format!("{at}/{name}") };
            let Ok(path) = RelPath::new(local.as_str()) else { continue };
            match std::fs::symlink_metadata(Path::new(&root.folder).join(&local)) {
                Ok(meta) if meta.is_dir() && root.shape != Shape::File => folders.push(local),
                Ok(meta) if meta.is_file() && root.covers(&path) => found += 1,
                _ => {}
            }
        }
    }
    found
}

/// Where a root is, for people and for the peer.
fn path_of(roots: &SaveRoots, root: &Root) -> String {
    match &root.spelled {
        Some(spelled) => format!("{}{}{}", root.folder, roots.environment.separator(), spelled.here),
        None => root.folder.clone(),
    }
}

impl Found {
    /// The roots as the peer is told of them.
    pub(super) fn specs(&self) -> Vec<RootSpec> {
        let texts = |of: &[bonfire_engine::places::pattern::Pattern]| of.iter().map(ToString::to_string).collect();
        let spec = |root: &Root| RootSpec {
            label: Some(root.label.clone()),
            path: path_of(&self.roots, root),
            is_file: Some(root.shape == Shape::File),
            include: if root.shape == Shape::Pattern { texts(&root.include) } else { Vec::new() },
            placed: Placed {
                exclude: texts(&root.exclude),
                folds_names: root.folds_names,
                name: root.spelled.as_ref().filter(|s| s.snapshot != s.here).map(|s| s.snapshot.clone()),
                only_as_such: root.other_label.is_some(),
            },
        };
        self.roots.roots.iter().map(spec).collect()
    }

    /// As scripts see it.
    pub(super) fn view<'a>(&'a self, game: &'a GameId) -> FoundView<'a> {
        let root = |r: &'a Root| RootView {
            label: &r.label,
            path: path_of(&self.roots, r),
            shape: r.shape,
            rule: &r.rule,
            files: files(r),
            from_game_folder: r.from_game_folder,
            moves_to_other_systems: r.moves_to_other_systems,
        };
        FoundView {
            game,
            title: &self.known.name,
            by: self.known.by,
            prefix: self.prefix.as_deref(),
            roots: self.roots.roots.iter().map(root).collect(),
            skipped: self.roots.skipped.iter().map(|s| SkippedView { rule: &s.rule, why: s.why.to_string() }).collect(),
            registry: self.roots.registry.iter().map(String::as_str).collect(),
            cloud: self.roots.cloud.iter().map(String::as_str).collect(),
        }
    }
}

impl FoundView<'_> {
    /// As people see it.
    pub(super) fn lines(&self) -> Vec<String> {
        let by = match self.by {
            By::Catalog => "by the catalog",
            By::Manifest => "by the imported manifest",
            By::Game => "by the game's own folder",
        };
        let mut lines = vec![format!("{}: {}, {by}", self.game, shown(self.title))];
        if let Some(prefix) = self.prefix {
            lines.push(format!("  in the prefix {}", prefix.display()));
        }
        for root in &self.roots {
            let what = match root.shape {
                Shape::Folder => "folder",
                Shape::Pattern => "some files of",
                Shape::File => "file",
            };
            let own = if root.from_game_folder { ", says the game's own folder" } else { "" };
            let stays = if root.moves_to_other_systems { "" } else { ", stays on this system" };
            let there = if root.files == 0 { "nothing yet".to_owned() } else { count(root.files as u64, "file") };
            lines.push(format!("  {what} {} ({there}{stays}{own})", shown(&root.path)));
        }
        lines.extend(self.skipped.iter().map(|s| format!("  left out: {}: {}", shown(s.rule), shown(&s.why))));
        lines.extend(self.registry.iter().map(|key| format!("  not synced: the registry key {}", shown(key))));
        if !self.cloud.is_empty() {
            lines.push(format!(
                "  also synced by {}: two that sync one save may hinder each other",
                self.cloud.join(", ")
            ));
        }
        lines
    }
}

/// The game as the peer knows it, or as one of which nothing but its id is known.
pub(super) fn game_of(snapshot: &Snapshot, game: &GameId) -> Game {
    match snapshot.games.iter().find(|g| g.id == *game) {
        Some(g) => Game { id: g.id.clone(), name: g.name.clone(), saves: g.saves.clone() },
        None => Game { id: game.clone(), name: game.to_string(), saves: Vec::new() },
    }
}

/// Nobody knows where the saves of a game lie.
pub(super) fn nobody_knows(game: &GameId) -> Report {
    Report::new(ErrorClass::NotFound, "nobody_knows", format!("nothing says where the saves of {game} lie")).hint(
        format!(
            "name the path: bonfire saves add {game} PATH; or import a manifest: bonfire saves import-manifest FILE|URL"
        ),
    )
}
