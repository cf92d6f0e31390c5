//! Which content a `get` means, and who can give it.
//!
//! Decides from what peers list and what is here. Knows no connections and no chunks. Contents are never mixed: sources
//! are used together only when they state the same content hash.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use bonfire_proto::{Availability, ContentHash, GameId, GameSummary, ManifestHash, PeerId};

use crate::report::{ErrorClass, Report};

/// One game as one peer lists it.
#[derive(Debug, Clone, Copy)]
pub struct Offer<'a> {
    /// Who lists it.
    pub peer: PeerId,
    /// The line, with clean text.
    pub game: &'a GameSummary,
}

/// What a download leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The game.
    pub game: GameId,
    /// Name for people.
    pub name: String,
    /// Version.
    pub version: String,
    /// The file list.
    pub manifest_hash: ManifestHash,
    /// The content; unknown while the one source has not read it.
    pub content_hash: Option<ContentHash>,
}

/// What to fetch and from whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// What to fetch.
    pub target: Target,
    /// Who has it, sorted; never empty.
    pub sources: Vec<PeerId>,
}

/// Decides what to fetch. `here` is the line of this peer's own library, `from` a peer that the user named.
///
/// # Errors
/// Refusals with the codes `unknown_game`, `not_offered`, `no_source` (retryable), `peers_disagree`, `already_here`,
/// `newer_here`, `differs_here`.
pub fn choose(
    game: &GameId,
    offers: &[Offer<'_>],
    here: Option<&GameSummary>,
    from: Option<PeerId>,
) -> Result<Choice, Report> {
    let here = here.filter(|h| h.downloaded);
    let listed: Vec<_> = offers.iter().filter(|o| o.game.id == *game).collect();
    let asked: Vec<_> = listed.iter().copied().filter(|o| from.is_none_or(|f| o.peer == f)).collect();
    if asked.is_empty() {
        return Err(match (from, here) {
            (None, Some(h)) => already_here(h),
            (None, None) => Report::new(ErrorClass::NotFound, "unknown_game", format!("no peer here lists {game}"))
                .hint("see what there is with `bonfire games --room`"),
            (Some(f), _) => Report::new(ErrorClass::NotFound, "unknown_game", format!("peer {f} does not list {game}"))
                .hint("see who has what with `bonfire games --room`"),
        });
    }
    let ready: Vec<_> = asked.iter().copied().filter(|o| o.game.availability == Availability::Ready).collect();
    let Some(best) = ready.iter().map(|o| &o.game.eti_version).max_by(|a, b| compare_versions(a, b)) else {
        return Err(nothing_ready(game, &asked));
    };
    let of_best: Vec<_> =
        ready.iter().copied().filter(|o| compare_versions(&o.game.eti_version, best) == Ordering::Equal).collect();
    let target = agree(game, &of_best)?;
    if let Some(h) = here {
        check_here(h, &target, &of_best, from)?;
    }
    let sources = match from {
        Some(peer) => same_source(&target, peer, offers),
        None => sources_for(&target, offers),
    };
    Ok(Choice { target, sources })
}

/// Who can give exactly this, sorted. For a content that is not known yet this is one peer at most, because two that
/// have not read their files may differ; a download that already took bytes from one goes on with `same_source`.
#[must_use]
pub fn sources_for(target: &Target, offers: &[Offer<'_>]) -> Vec<PeerId> {
    let fitting = offers.iter().filter(|o| {
        o.game.id == target.game
            && o.game.availability == Availability::Ready
            && o.game.manifest_hash == target.manifest_hash
    });
    match target.content_hash {
        Some(content) => {
            let peers: BTreeSet<_> = fitting.filter(|o| o.game.content_hash == Some(content)).map(|o| o.peer).collect();
            peers.into_iter().collect()
        }
        None => fitting.map(|o| (o.game.content_hash.is_some(), o.peer)).min().map(|(_, p)| p).into_iter().collect(),
    }
}

/// Who can go on giving what `source` began to give: everyone with the target's content once that is known, else only
/// `source` itself.
#[must_use]
pub fn same_source(target: &Target, source: PeerId, offers: &[Offer<'_>]) -> Vec<PeerId> {
    if target.content_hash.is_some() {
        return sources_for(target, offers);
    }
    let own: Vec<_> = offers.iter().filter(|o| o.peer == source).copied().collect();
    sources_for(target, &own)
}

/// The content hash that a source has come to know of the list that the target names: then the target's is known too.
#[must_use]
pub fn learned_content(target: &Target, source: PeerId, offers: &[Offer<'_>]) -> Option<ContentHash> {
    if target.content_hash.is_some() {
        return None;
    }
    offers
        .iter()
        .find(|o| o.peer == source && o.game.id == target.game && o.game.manifest_hash == target.manifest_hash)
        .and_then(|o| o.game.content_hash)
}

/// Why a download of this content stands still when nobody can give it, in the words that help most: what is offered
/// in its place, if anything is.
#[must_use]
pub fn why_waiting(target: &Target, offers: &[Offer<'_>]) -> Report {
    let game = &target.game;
    let what = format!("{game} {}", shown(&target.version));
    let listed: Vec<_> = offers.iter().filter(|o| o.game.id == *game).collect();
    let is_same = |o: &&&Offer<'_>| o.game.manifest_hash == target.manifest_hash;
    let others = listed.iter().filter(|o| o.game.availability == Availability::Ready && !is_same(o));
    let other = others.map(|o| &o.game.eti_version).max_by(|a, b| compare_versions(a, b));
    let report = |text: String| Report::new(ErrorClass::Unreachable, "no_source", text).retryable();
    match other {
        _ if listed.iter().any(|o| is_same(&o)) => report(format!("whoever holds {what} cannot give it at present"))
            .hint(format!("it goes on by itself when one of them can; to give it up: `bonfire cancel {game}`")),
        Some(version) => report(format!(
            "nobody connected offers the {what} that was begun; {} is offered in its place",
            if *version == target.version { "other content of that version".to_owned() } else { shown(version) },
        ))
        .hint(format!("to take what is offered: `bonfire cancel {game}`, then `bonfire get {game}`")),
        None => report(format!("nobody connected has {what}")).hint(format!(
            "it goes on by itself when somebody who has it comes; to give it up: `bonfire cancel {game}`"
        )),
    }
}

/// The content that all of these mean. A line without a content hash agrees with any that has the same file list.
fn agree(game: &GameId, offers: &[&Offer<'_>]) -> Result<Target, Report> {
    let manifests: BTreeSet<_> = offers.iter().map(|o| o.game.manifest_hash).collect();
    let contents: BTreeSet<_> = offers.iter().filter_map(|o| o.game.content_hash).collect();
    if manifests.len() > 1 || contents.len() > 1 {
        let mut peers: Vec<_> = offers.iter().map(|o| o.peer).collect();
        peers.sort_unstable();
        let names: Vec<_> = peers.iter().map(ToString::to_string).collect();
        return Err(Report::new(
            ErrorClass::Refused,
            "peers_disagree",
            format!("peers offer different contents of {game} as the same version: {}", names.join(", ")),
        )
        .hint(format!("say whose to take: `bonfire get {game} --from PEER`")));
    }
    let content_hash = contents.first().copied();
    // The smallest of those that state the most: its words are the ones shown.
    let model = offers.iter().min_by_key(|o| (o.game.content_hash.is_none(), o.peer));
    let model = model.expect("BUG: nobody is asked to agree").game;
    Ok(Target {
        game: game.clone(),
        name: model.name.clone(),
        version: model.eti_version.clone(),
        manifest_hash: model.manifest_hash,
        content_hash,
    })
}

fn check_here(here: &GameSummary, target: &Target, offers: &[&Offer<'_>], from: Option<PeerId>) -> Result<(), Report> {
    let game = &target.game;
    let versions = compare_versions(&here.eti_version, &target.version);
    if here.manifest_hash == target.manifest_hash {
        let is_here = match (here.content_hash, target.content_hash) {
            (Some(a), Some(b)) => a == b,
            // Equal names and sizes prove little: a patch may keep them all. The version decides, or whoever names a peer.
            _ => from.is_none() && versions == Ordering::Equal,
        };
        if is_here {
            return Err(already_here(here));
        }
    }
    if from.is_some() {
        return Ok(());
    }
    let from_hint = offers
        .iter()
        .map(|o| o.peer)
        .min()
        .map_or_else(String::new, |p| format!("to replace what is here: `bonfire get {game} --from {p}`"));
    match versions {
        Ordering::Greater => Err(Report::new(
            ErrorClass::Refused,
            "newer_here",
            format!("{game} {} is here, which is newer than {}", shown(&here.eti_version), shown(&target.version)),
        )
        .hint(from_hint)),
        Ordering::Equal => Err(Report::new(
            ErrorClass::Refused,
            "differs_here",
            format!("{game} {} is here with other content than peers offer", shown(&here.eti_version)),
        )
        .hint(from_hint)),
        Ordering::Less => Ok(()),
    }
}

fn already_here(here: &GameSummary) -> Report {
    Report::new(
        ErrorClass::Refused,
        "already_here",
        format!("{} {} is already here", here.id, shown(&here.eti_version)),
    )
    .hint(format!("to check its files: `bonfire verify {}`", here.id))
}

fn nothing_ready(game: &GameId, asked: &[&Offer<'_>]) -> Report {
    if asked.iter().any(|o| o.game.availability == Availability::Downloading) {
        return Report::new(
            ErrorClass::Unreachable,
            "no_source",
            format!("{game} is still being downloaded by every peer that lists it"),
        )
        .hint("try again when one of them is done")
        .retryable();
    }
    Report::new(ErrorClass::Refused, "not_offered", format!("{game} is listed, but no peer shares it"))
        .hint(format!("whoever holds it can share it: `bonfire catalog add {game}`"))
}

fn shown(version: &str) -> String {
    if version.is_empty() { "(no version stated)".to_owned() } else { format!("version {version}") }
}

/// Compares versions as people read them: runs of digits count as numbers, everything else as text. No version is the
/// lowest. `1.0` and `1.00` are the same version.
#[must_use]
pub fn compare_versions(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a, b);
    loop {
        let ((part_a, rest_a), (part_b, rest_b)) = (first_run(a), first_run(b));
        if part_a.is_empty() || part_b.is_empty() {
            return part_a.len().cmp(&part_b.len());
        }
        let is_number = |s: &str| s.as_bytes()[0].is_ascii_digit();
        let order = if is_number(part_a) && is_number(part_b) {
            let (x, y) = (part_a.trim_start_matches('0'), part_b.trim_start_matches('0'));
            x.len().cmp(&y.len()).then_with(|| x.cmp(y))
        } else {
            part_a.cmp(part_b)
        };
        if order != Ordering::Equal {
            return order;
        }
        (a, b) = (rest_a, rest_b);
    }
}

/// The longest run at the beginning that is all digits or has none, and what follows it.
fn first_run(s: &str) -> (&str, &str) {
    let Some(first) = s.bytes().next() else { return ("", "") };
    let digits = first.is_ascii_digit();
    let end = s.bytes().position(|b| b.is_ascii_digit() != digits).unwrap_or(s.len());
    s.split_at(end)
}

#[cfg(test)]
mod tests;
