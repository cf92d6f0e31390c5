//! Places a title's paths on one machine: the rule that says which of them become roots, where, and with which files.
//!
//! What cannot be placed without a guess is skipped with its reason. Two roots never have the same file: the one whose
//! path says more has it.

use std::collections::BTreeSet;

use bonfire_proto::RelPath;
use bonfire_proto::rel_path::fold;

use super::facts::{Environment, Existing, GameFacts, Listing, Places};
use super::index::{Purpose, Title};
use super::labels::{Labelled, labels, os_fits};
use super::pattern::{Pattern, Segment, Token};
use super::placeholders::Placeholder;
use super::roots::{Root, SaveRoots, Shape, Skipped, Spelled, Why, beneath, join, spelling};
use super::rule_path::{Part, PathRejected, Piece, RulePath};

/// Most names that a part of a path may stand for when a placeholder has several values.
const NAMES_MAX: usize = 1_024;

/// What the player wants of a manifest.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Choice {
    /// Whether settings are synced too. They are not: what suits one screen does not suit another.
    pub with_settings: bool,
}

/// The roots of a game's save set on a machine. `name` is the title's name in the manifest.
#[must_use]
pub fn place(
    name: &str,
    title: &Title,
    game: &GameFacts,
    places: &Places,
    existing: &dyn Existing,
    choice: Choice,
) -> SaveRoots {
    let machine = Machine { name, title, game, places, existing };
    let (labelled, rejected) = labels(title);
    let mut skipped: Vec<Skipped> = rejected
        .into_iter()
        .map(|(rule, why)| Skipped { rule: rule.path.clone(), labels: Vec::new(), why: why.into() })
        .collect();
    let mut placed: Vec<Placed> = Vec::new();
    for l in &labelled {
        let roots = match machine.place(l) {
            Ok(roots) => roots,
            Err(why) => {
                skipped.push(skip(l, why));
                continue;
            }
        };
        for root in roots {
            match placed.iter_mut().find(|p| p.root.label == root.label) {
                Some(same) if same.is_at(&root) => same.wanted |= is_wanted(l, choice),
                Some(taken) => skipped.push(skip(l, Why::LabelTaken(taken.root.folder.clone()))),
                None => {
                    let depth = root.folder.split(places.environment().separator()).count();
                    placed.push(Placed { root, depth, wanted: is_wanted(l, choice), purpose: l.rule.purpose() });
                }
            }
        }
    }
    // What is said of a label that has a place here after all would only confuse.
    skipped.retain(|s| {
        let has_place = placed.iter().any(|p| s.labels.contains(&p.root.label));
        !(has_place && matches!(s.why, Why::OtherSystem(_) | Why::OtherStore))
    });
    SaveRoots {
        environment: places.environment(),
        roots: take_apart(places.environment(), placed, &mut skipped),
        skipped,
        registry: title.registry.clone(),
        cloud: title.cloud.clone(),
    }
}

struct Placed {
    root: Root,
    /// Names in the folder's path.
    depth: usize,
    wanted: bool,
    purpose: Purpose,
}

impl Placed {
    fn is_at(&self, other: &Root) -> bool {
        self.root.folder == other.folder && self.root.include == other.include
    }

    /// Grows with what the path says: deeper folders, then all of it, a pattern, a name, then longer patterns. The label
    /// makes it a total order.
    fn specificity(&self) -> (usize, Shape, usize, &str) {
        let len = self.root.include.iter().map(|p| p.to_string().len()).sum();
        (self.depth, self.root.shape, len, &self.root.label)
    }
}

fn is_wanted(l: &Labelled<'_>, choice: Choice) -> bool {
    match l.rule.purpose() {
        Purpose::Save => true,
        Purpose::Config => choice.with_settings,
        Purpose::Other => false,
    }
}

fn skip(l: &Labelled<'_>, why: Why) -> Skipped {
    let labels = std::iter::once(&l.label).chain(l.file.as_ref().map(|f| &f.label)).cloned().collect();
    Skipped { rule: l.rule.path.clone(), labels, why }
}

/// Gives each file to the root whose path says most of it, and drops the roots that are not wanted.
fn take_apart(environment: Environment, mut placed: Vec<Placed>, skipped: &mut Vec<Skipped>) -> Vec<Root> {
    placed.sort_by(|a, b| a.specificity().cmp(&b.specificity()));
    let mut roots = Vec::new();
    for (at, p) in placed.iter().enumerate() {
        if !p.wanted {
            let why = if p.purpose == Purpose::Config { Why::Settings } else { Why::UnknownTags };
            // Of two shapes, one is enough to say it.
            if !skipped.iter().any(|s| s.rule == p.root.rule) {
                let labels = std::iter::once(&p.root.label).chain(&p.root.other_label).cloned().collect();
                skipped.push(Skipped { rule: p.root.rule.clone(), labels, why });
            }
            continue;
        }
        let mut root = p.root.clone();
        // Two shapes of one path have no file in common as it is.
        let others = placed[at + 1..].iter().filter(|o| Some(&o.root.label) != root.other_label.as_ref());
        let theirs: Vec<Pattern> = others.filter_map(|o| within(environment, &root, &o.root)).collect();
        root.exclude.extend(theirs);
        roots.push(root);
    }
    roots.sort_by(|a, b| a.label.cmp(&b.label));
    roots
}

/// The other root's files as a pattern beneath this root's folder.
fn within(environment: Environment, root: &Root, other: &Root) -> Option<Pattern> {
    let between = if root.folder == other.folder {
        Vec::new()
    } else {
        beneath(environment, &root.folder, &other.folder)?.split('/').map(Segment::literal).collect()
    };
    // A root of the manifest includes one pattern or everything.
    let included = other.include.first().map_or(&[][..], Pattern::segments);
    Pattern::new(between.into_iter().chain(included.iter().cloned()).collect()).ok()
}

struct Machine<'a> {
    name: &'a str,
    title: &'a Title,
    game: &'a GameFacts,
    places: &'a Places,
    existing: &'a dyn Existing,
}

impl Machine<'_> {
    fn place(&self, l: &Labelled<'_>) -> Result<Vec<Root>, Why> {
        let environment = self.places.environment();
        if !l.families.contains(&environment.family()) {
            return Err(Why::OtherSystem(l.families.clone()));
        }
        if !self.store_fits(l) {
            return Err(Why::OtherStore);
        }
        let mut folder = match self.game.folder(environment, l.path.anchor)? {
            Some(folder) => folder,
            None => self.places.folder(l.path.anchor).ok_or(Why::Unresolved(l.path.anchor))?.to_owned(),
        };
        let (above, node) = l.path.node();
        let mut filled = Vec::new();
        for part in above {
            let name = self.name_of(l, part, &folder)?;
            folder = join(environment, &folder, &name);
            filled.push(Part::from(&Segment::literal(&name)));
        }
        let (end, here) = match (&l.file, node) {
            (Some(_), [part]) => {
                let here = self.name_of(l, part, &folder)?;
                (vec![Segment::literal(&here)], Some(here))
            }
            _ => (node.iter().map(|p| self.segment(l, p)).collect::<Result<_, _>>()?, None),
        };
        filled.extend(end.iter().map(Part::from));
        if (RulePath { anchor: l.path.anchor, parts: filled }).leads_to_no_save() {
            return Err(PathRejected::NoSave.into());
        }
        let pattern = Pattern::new(end).expect("BUG: a path has a last name");
        let (Some(file), Some(here)) = (&l.file, here) else {
            return Ok(vec![Root { include: vec![pattern], ..self.root(l, folder, Shape::Pattern) }]);
        };
        let own = join(environment, &folder, &here);
        let shape = self.shape_of(&folder, &own, &here)?;
        let as_folder = Root { other_label: Some(file.label.clone()), ..self.root(l, own, Shape::Folder) };
        let beneath_file = Pattern::new(vec![Segment::literal(&here), Segment::Name(vec![Token::Many])]);
        let as_file = Root {
            label: file.label.clone(),
            include: vec![pattern],
            exclude: beneath_file.into_iter().collect(),
            spelled: Some(Spelled { snapshot: file.name.clone(), here }),
            other_label: Some(l.label.clone()),
            ..self.root(l, folder, Shape::File)
        };
        Ok(match shape {
            Some(Shape::Folder) => vec![as_folder],
            Some(_) => vec![as_file],
            None => vec![as_folder, as_file],
        })
    }

    /// A root with everything in the folder.
    fn root(&self, l: &Labelled<'_>, folder: String, shape: Shape) -> Root {
        Root {
            label: l.label.clone(),
            folder,
            shape,
            include: Vec::new(),
            exclude: Vec::new(),
            spelled: None,
            rule: l.rule.path.clone(),
            from_game_folder: l.rule.from_game_folder,
            folds_names: self.places.environment().folds_names(),
            other_label: None,
            moves_to_other_systems: l.reach.len() > 1,
        }
    }

    /// Whether a folder or a file lies at this path; `None` when nothing does.
    fn shape_of(&self, folder: &str, own: &str, name: &str) -> Result<Option<Shape>, Why> {
        let unreadable = |folder: &str, message| Err(Why::Unreadable { folder: folder.to_owned(), message });
        match self.existing.list(own) {
            Listing::Names(_) => return Ok(Some(Shape::Folder)),
            Listing::Unreadable(message) => return unreadable(own, message),
            Listing::Absent => {}
        }
        let folds = self.places.environment().folds_names();
        match self.existing.list(folder) {
            Listing::Names(names) => {
                let is_there = names.iter().any(|n| n == name || folds && fold(n) == fold(name));
                Ok(is_there.then_some(Shape::File))
            }
            Listing::Absent => Ok(None),
            Listing::Unreadable(message) => unreadable(folder, message),
        }
    }

    /// Whether a constraint of the rule holds here. A game of which the store is not known may be from any.
    fn store_fits(&self, l: &Labelled<'_>) -> bool {
        let family = self.places.environment().family();
        let fits = |store: &Option<String>| match (store, &self.game.store) {
            (Some(asked), Some(own)) => store_name(asked) == store_name(own),
            _ => true,
        };
        l.rule.when.is_empty()
            || l.rule.when.iter().any(|c| os_fits(c.os.as_deref(), &l.path, family) && fits(&c.store))
    }

    /// The name that a part without patterns is here, as it is spelled on the disk.
    fn name_of(&self, l: &Labelled<'_>, part: &Part, folder: &str) -> Result<String, Why> {
        let names = self.names_of(l, part)?;
        let chosen = match names.as_slice() {
            [only] => only.clone(),
            _ => self.the_one_that_exists(folder, &names)?,
        };
        spelling(self.places.environment(), folder, &chosen, self.existing)
    }

    fn the_one_that_exists(&self, folder: &str, names: &[String]) -> Result<String, Why> {
        let there = match self.existing.list(folder) {
            Listing::Names(there) => there,
            Listing::Absent => Vec::new(),
            Listing::Unreadable(message) => return Err(Why::Unreadable { folder: folder.to_owned(), message }),
        };
        let folds = self.places.environment().folds_names();
        let same = |a: &str, b: &str| a == b || folds && fold(a) == fold(b);
        let found: Vec<&String> = names.iter().filter(|n| there.iter().any(|t| same(t, n))).collect();
        match found.as_slice() {
            [only] => Ok((*only).clone()),
            _ => Err(Why::Several { folder: folder.to_owned(), names: names.to_vec() }),
        }
    }

    /// Every name that a part without patterns may be, sorted.
    fn names_of(&self, l: &Labelled<'_>, part: &Part) -> Result<Vec<String>, Why> {
        let Part::Name(pieces) = part else { return Ok(Vec::new()) };
        let mut names = vec![String::new()];
        for piece in pieces {
            let values = match piece {
                Piece::Text(text) => vec![text.clone()],
                Piece::Variable(v) => self.values(l, *v)?,
                Piece::Wild(_) => Vec::new(),
            };
            names = names
                .iter()
                .flat_map(|name| values.iter().map(move |v| format!("{name}{v}")))
                .take(NAMES_MAX)
                .collect();
        }
        let names: BTreeSet<String> = names.into_iter().collect();
        for name in &names {
            // A value with a separator would be more than one name.
            let error = RelPath::new(name.as_str())
                .err()
                .or(name.contains('/').then_some(bonfire_proto::PathError::Character('/')));
            if let Some(error) = error {
                return Err(Why::Name { name: bonfire_proto::text::clean(name), error });
            }
        }
        Ok(names.into_iter().collect())
    }

    /// A part from the first pattern on. What a placeholder stands for has to be one value there: nobody can look for it.
    fn segment(&self, l: &Labelled<'_>, part: &Part) -> Result<Segment, Why> {
        let Part::Name(pieces) = part else { return Ok(Segment::Deep) };
        let mut tokens = Vec::new();
        for piece in pieces {
            match piece {
                Piece::Text(text) => tokens.extend(text.chars().map(Token::Char)),
                Piece::Wild(token) => tokens.push(token.clone()),
                Piece::Variable(v) => match self.values(l, *v)?.as_slice() {
                    [only] => tokens.extend(only.chars().map(Token::Char)),
                    names => return Err(Why::Several { folder: l.rule.path.clone(), names: names.to_vec() }),
                },
            }
        }
        Ok(Segment::Name(tokens))
    }

    /// What a placeholder for a name stands for here: one or more values.
    fn values(&self, l: &Labelled<'_>, variable: Placeholder) -> Result<Vec<String>, Why> {
        let values: Vec<String> = match variable {
            Placeholder::OsUserName => self.places.user_name().into_iter().map(str::to_owned).collect(),
            Placeholder::StoreUserId => self.game.store_user_ids.clone(),
            Placeholder::StoreGameId => self.game.store_game_id.clone().or_else(|| self.id_of(l)).into_iter().collect(),
            Placeholder::Game => match &self.game.install_dir {
                Some(own) => vec![own.clone()],
                None if self.title.install_dirs.is_empty() => vec![self.name.to_owned()],
                None => self.title.install_dirs.iter().cloned().collect(),
            },
            _ => Vec::new(),
        };
        if values.is_empty() { Err(Why::Unresolved(variable)) } else { Ok(values) }
    }

    /// The manifest's id for the store that the game is from, or for the only store that the rule is about.
    fn id_of(&self, l: &Labelled<'_>) -> Option<String> {
        let asked: BTreeSet<&str> = l.rule.when.iter().filter_map(|c| c.store.as_deref()).collect();
        let only = asked.first().copied().filter(|_| asked.len() == 1);
        let store = self.game.store.as_deref().or(only)?;
        self.title.ids.main(store).map(str::to_owned)
    }
}

/// The two names of one store's games.
fn store_name(store: &str) -> &str {
    if store == "gogGalaxy" { "gog" } else { store }
}
