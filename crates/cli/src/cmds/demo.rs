//! `bonfire demo`: a room of three peers on this machine, shown live. Needs nothing but this program, ends by itself
//! within a minute, and leaves nothing behind, however it ends.

mod game;
mod member;

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use bonfire_engine::command::{Command, LibraryCommand, TransferCommand};
use bonfire_engine::event::PeerEvent;
use bonfire_engine::snapshot::Phase;
use bonfire_engine::{ErrorClass, Report, Snapshot};
use bonfire_proto::{Availability, GameId, PeerId};
use member::{Member, failed};
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use crate::args::DemoArgs;
use crate::exit::{Exit, Failure};
use crate::platform::StopSignals;
use crate::progress::{Progress, peer_name, signals_failed};
use crate::render::{Out, Tone, count, size, span};

/// The longest that the whole demo may take.
const TIMEOUT: Duration = Duration::from_secs(58);
/// How often a download may be over before it could be interrupted: loopback is fast.
const ATTEMPTS: u32 = 5;

pub(crate) async fn run(out: &Out, args: &DemoArgs) -> Result<Exit, Failure> {
    let mut signals = StopSignals::new().map_err(signals_failed)?;
    let root = tempfile::Builder::new()
        .prefix("bonfire-demo-")
        .tempdir()
        .map_err(|e| failed(format!("cannot make a temporary folder: {e}")))?;
    let size = args.size << 20;
    space_for(root.path(), size)?;
    let started = Instant::now();
    let ended = tokio::select! {
        ended = timeout(TIMEOUT, play(out, root.path(), size)) => ended.unwrap_or_else(|_| {
            Err(failed(format!("not done within {} s", TIMEOUT.as_secs())).hint("try a smaller game with --size").into())
        }),
        () = signals.recv() => Err(Report::new(ErrorClass::Cancelled, "interrupted", "the demo was interrupted").into()),
    };
    // The peers are gone here: dropping one ends its process.
    let path = root.path().to_path_buf();
    let swept = remove(root).await;
    ended?;
    swept.map_err(|e| failed(format!("cannot remove {}: {e}", path.display())))?;
    let took = started.elapsed();
    let seconds = took.as_secs();
    step(
        out,
        "end",
        &format!("All done in {}; everything is removed again.", span(took)),
        &json!({ "seconds": seconds }),
    )?;
    Ok(Exit::Done)
}

/// Removes the folder. A peer that was ended a moment ago may still be writing its last bytes.
async fn remove(root: tempfile::TempDir) -> std::io::Result<()> {
    let path = root.keep();
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        match std::fs::remove_dir_all(&path) {
            Ok(()) => return Ok(()),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(e) if Instant::now() >= deadline => return Err(e),
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

fn space_for(root: &Path, game_size: u64) -> Result<(), Report> {
    let needed = game_size * 4;
    let free = fs4::available_space(root).map_err(|e| failed(format!("cannot ask for free space: {e}")))?;
    if free < needed {
        let message = format!("{} has {} free, the demo needs {}", root.display(), size(free), size(needed));
        return Err(Report::new(ErrorClass::Environment, "no_space", message)
            .hint("name a larger temporary folder with TMPDIR, or a smaller game with --size"));
    }
    Ok(())
}

async fn play(out: &Out, root: &Path, game_size: u64) -> Result<(), Failure> {
    let game = GameId::new(game::GAME).expect("BUG: the name of the made-up game is no id");
    make_game(out, root, &game, game_size).await?;
    let (mut ann, mut ben, mut cara) = start_room(out, root).await?;
    meet(out, &mut ann, &mut ben, &mut cara).await?;
    list(out, &mut ann, &mut ben, &mut cara, &game).await?;
    fetch(out, &mut ben, &game).await?;
    cancel(out, &mut cara, &game).await?;
    two_sources(&mut cara, &game).await?;
    let cara = kill_and_resume(out, root, cara, (&ann, &ben), &game).await?;
    compare(out, &[&ann, &ben, &cara], &game).await?;
    for member in [cara, ben, ann] {
        member.stop().await?;
    }
    Ok(())
}

/// One step that went well: a line for people, an object for scripts.
fn step(out: &Out, name: &str, text: &str, facts: &Value) -> Result<(), Failure> {
    if out.is_json() {
        let mut line = json!({ "step": name, "detail": text });
        if let (Some(line), Some(facts)) = (line.as_object_mut(), facts.as_object()) {
            line.extend(facts.clone());
        }
        return out.json(&line);
    }
    out.marked(Tone::Good, "*", text)
}

async fn make_game(out: &Out, root: &Path, game: &GameId, game_size: u64) -> Result<(), Failure> {
    let folder = root.join("ann").join("games").join(game.as_str());
    let made = tokio::task::spawn_blocking(move || game::write(&folder, game_size)).await;
    made.map_err(std::io::Error::other)
        .and_then(|written| written)
        .map_err(|e| failed(format!("cannot write the made-up game: {e}")))?;
    let text = format!("Made up a game of {} for ann: {game}", size(game_size));
    step(out, "make_game", &text, &json!({ "game": game, "bytes": game_size }))
}

async fn start_room(out: &Out, root: &Path) -> Result<(Member, Member, Member), Failure> {
    let ann = Member::start(root, "ann", &[]).await?;
    let ben = Member::start(root, "ben", &[ann.address]).await?;
    let cara = Member::start(root, "cara", &[ann.address, ben.address]).await?;
    let text = "Started three peers, ann, ben and cara, each a program of its own. Multicast does not reach the loopback \
                address, so they are told addresses; in a real network they find each other.";
    step(out, "start", text, &json!({ "addresses": [ann.address, ben.address, cara.address] }))?;
    Ok((ann, ben, cara))
}

async fn meet(out: &Out, ann: &mut Member, ben: &mut Member, cara: &mut Member) -> Result<(), Failure> {
    let started = Instant::now();
    for member in [ann, ben, cara] {
        let sees_both =
            |s: &Snapshot, _: Option<&PeerEvent>| (s.peers.iter().filter(|p| p.connected).count() == 2).then_some(());
        member.wait("meeting the others", sees_both).await?;
    }
    let millis = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    step(out, "discover", &format!("Each of them sees the other two after {millis} ms."), &json!({ "millis": millis }))
}

async fn list(out: &Out, ann: &mut Member, ben: &mut Member, cara: &mut Member, game: &GameId) -> Result<(), Failure> {
    let (name, version) = (Some("Bonfire Demo".to_owned()), Some("1.0".to_owned()));
    ann.send(Command::Library(LibraryCommand::CatalogAdd {
        game: game.clone(),
        name,
        version,
        saves: None,
        start: std::collections::BTreeMap::new(),
    }))
    .await?;
    for member in [ben, cara] {
        let listed = |s: &Snapshot, _: Option<&PeerEvent>| (holders(s, game).len() == 1).then_some(());
        member.wait("seeing the game", listed).await?;
    }
    step(out, "list", "ann puts the game into her catalog; ben and cara see it.", &json!({ "game": game }))
}

/// Connected peers from which the game can be had.
fn holders(snapshot: &Snapshot, game: &GameId) -> Vec<PeerId> {
    let has = |p: &&bonfire_engine::snapshot::PeerView| {
        p.connected && p.games.iter().any(|g| g.id == *game && g.availability == Availability::Ready)
    };
    snapshot.peers.iter().filter(has).map(|p| p.peer).collect()
}

/// How a download ended.
struct Outcome {
    fetched: u64,
    reused: u64,
    sources: BTreeSet<String>,
}

async fn fetch(out: &Out, ben: &mut Member, game: &GameId) -> Result<(), Failure> {
    let started = Instant::now();
    ben.transfer(TransferCommand::Get { game: game.clone(), from: None }).await?;
    let outcome = download(out, ben, game).await?;
    let took = started.elapsed();
    let millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX).max(1);
    let speed = outcome.fetched.saturating_mul(1000) / millis;
    let text = format!("ben fetches it from ann: {} in {millis} ms, {}/s.", size(outcome.fetched), size(speed));
    step(out, "fetch", &text, &json!({ "bytes": outcome.fetched, "millis": millis, "sources": outcome.sources }))
}

/// Shows a download until it has ended.
async fn download(out: &Out, member: &mut Member, game: &GameId) -> Result<Outcome, Failure> {
    let mut progress = Progress::new(out, &format!("  {}", member.name));
    let mut sources = BTreeSet::new();
    let mut seen = false;
    let ended = member
        .wait("downloading", |s, event| {
            match event {
                Some(PeerEvent::DownloadFinished { game: g, fetched_bytes, reused_bytes, .. }) if g == game => {
                    return Some(Ok((*fetched_bytes, *reused_bytes)));
                }
                Some(PeerEvent::DownloadFailed { game: g, error, .. }) if g == game => return Some(Err(error.clone())),
                _ => {}
            }
            let Some(operation) = s.operations.iter().find(|o| o.game == *game) else {
                // It was over before we could listen: only a peer that was just started again can be that quick.
                let here = s.games.iter().find(|g| g.id == *game).filter(|g| g.downloaded);
                return here.filter(|_| !seen && event.is_none()).map(|g| Ok((0, g.size)));
            };
            seen = true;
            sources.extend(operation.sources.iter().map(|id| peer_name(s, *id)));
            if progress.update(operation, s).is_err() {
                return Some(Err(failed("nobody reads the output any more".to_owned())));
            }
            None
        })
        .await;
    progress.finish();
    let (fetched, reused) = ended??;
    Ok(Outcome { fetched, reused, sources })
}

/// How an attempt to interrupt a download went.
enum Caught {
    /// It is under way, with so many bytes done.
    UnderWay(u64),
    /// It was over already.
    TooLate,
}

/// Starts a download and returns when so many percent are done. Later attempts are content with less.
// The state that was seen last may still show the download before this one: only the number tells them apart.
async fn catch(
    out: &Out,
    member: &mut Member,
    game: &GameId,
    (percent, attempt): (u64, u32),
) -> Result<Caught, Failure> {
    let op = member.transfer(TransferCommand::Get { game: game.clone(), from: None }).await?;
    let mut progress = Progress::new(out, &format!("  {}", member.name));
    let caught = member
        .wait("downloading", |s, event| match event {
            Some(PeerEvent::DownloadFinished { game: g, .. }) if g == game => Some(Ok(Caught::TooLate)),
            Some(PeerEvent::DownloadFailed { game: g, error, .. }) if g == game => Some(Err(error.clone())),
            Some(PeerEvent::ActiveOperationsChanged { operations }) if attempt > 2 => operations
                .iter()
                .find(|o| o.op == op && o.phase == Phase::Transferring)
                .map(|o| Ok(Caught::UnderWay(o.done_bytes))),
            Some(_) => None,
            None => {
                let operation = s.operations.iter().find(|o| o.op == op && o.phase == Phase::Transferring)?;
                if progress.update(operation, s).is_err() {
                    return Some(Err(failed("nobody reads the output any more".to_owned())));
                }
                let enough = operation.total_bytes / 100 * if attempt == 1 { percent } else { 0 };
                (operation.done_bytes > enough).then_some(Ok(Caught::UnderWay(operation.done_bytes)))
            }
        })
        .await;
    progress.finish();
    Ok(caught??)
}

/// Takes a game away again that was here too soon.
async fn take_away(member: &mut Member, game: &GameId) -> Result<(), Failure> {
    member.transfer(TransferCommand::Remove { game: game.clone() }).await?;
    let removed = |_: &Snapshot, event: Option<&PeerEvent>| match event {
        Some(PeerEvent::GameRemoved { game: g, .. }) if g == game => Some(Ok(())),
        Some(PeerEvent::RemoveFailed { game: g, error, .. }) if g == game => Some(Err(error.clone())),
        _ => None,
    };
    Ok(member.wait("removing", removed).await??)
}

fn too_fast() -> Failure {
    failed(format!("each of {ATTEMPTS} downloads was over before it could be interrupted"))
        .hint("give the demo a larger game with --size")
        .into()
}

async fn cancel(out: &Out, cara: &mut Member, game: &GameId) -> Result<(), Failure> {
    for attempt in 1..=ATTEMPTS {
        let Caught::UnderWay(done) = catch(out, cara, game, (20, attempt)).await? else {
            take_away(cara, game).await?;
            continue;
        };
        let asked = Instant::now();
        if let Err(refusal) = cara.transfer(TransferCommand::Cancel { game: game.clone() }).await {
            tracing::debug!(%refusal, "the download was over before the cancel");
        }
        let ended = cara
            .wait("cancelling", |_, event| match event {
                Some(PeerEvent::DownloadCancelled { game: g, .. }) if g == game => Some(Ok(true)),
                Some(PeerEvent::DownloadFinished { game: g, .. }) if g == game => Some(Ok(false)),
                Some(PeerEvent::DownloadFailed { game: g, error, .. }) if g == game => Some(Err(error.clone())),
                _ => None,
            })
            .await??;
        if !ended {
            take_away(cara, game).await?;
            continue;
        }
        let millis = u64::try_from(asked.elapsed().as_millis()).unwrap_or(u64::MAX);
        let root = cara.game_root(game);
        if root.exists() {
            return Err(failed(format!("the cancelled download left {}", root.display())).into());
        }
        let text = format!(
            "cara starts to fetch it too and cancels after {}: swept in {millis} ms, nothing is left.",
            size(done)
        );
        return step(out, "cancel", &text, &json!({ "millis": millis, "done_bytes": done }));
    }
    Err(too_fast())
}

/// Waits until cara knows that ann and ben hold the same content.
async fn two_sources(cara: &mut Member, game: &GameId) -> Result<(), Failure> {
    let same = |s: &Snapshot, _: Option<&PeerEvent>| {
        let contents: Vec<_> =
            s.peers.iter().flat_map(|p| &p.games).filter(|g| g.id == *game).map(|g| g.content_hash).collect();
        (holders(s, game).len() == 2 && contents.len() == 2 && contents[0].is_some() && contents[0] == contents[1])
            .then_some(())
    };
    Ok(cara.wait("finding two sources", same).await?)
}

async fn kill_and_resume(
    out: &Out,
    root: &Path,
    mut cara: Member,
    (ann, ben): (&Member, &Member),
    game: &GameId,
) -> Result<Member, Failure> {
    for attempt in 1..=ATTEMPTS {
        let Caught::UnderWay(done) = catch(out, &mut cara, game, (40, attempt)).await? else {
            take_away(&mut cara, game).await?;
            continue;
        };
        let mut sources: BTreeSet<String> = sources(&cara, game);
        let sentinel = cara.game_root(game).join("version.ini");
        cara.kill().await?;
        let was_complete = sentinel.exists();
        let text = if was_complete {
            "cara fetches again, and her program is killed; the download was over by then.".to_owned()
        } else {
            format!(
                "cara fetches again, and after {} her program is killed: the game is plainly not there.",
                size(done)
            )
        };
        step(out, "kill", &text, &json!({ "done_bytes": done, "complete": was_complete }))?;
        cara = Member::start(root, "cara", &[ann.address, ben.address]).await?;
        if was_complete {
            take_away(&mut cara, game).await?;
            continue;
        }
        let outcome = download(out, &mut cara, game).await?;
        sources.extend(outcome.sources);
        let names: Vec<String> = sources.iter().cloned().collect();
        let from = if names.is_empty() { String::new() } else { format!(" from {}", names.join(" and ")) };
        let text = format!(
            "cara starts again and goes on by herself{from}: {} fetched, {} were verified before.",
            size(outcome.fetched),
            size(outcome.reused)
        );
        let facts = json!({ "fetched_bytes": outcome.fetched, "reused_bytes": outcome.reused, "sources": names });
        step(out, "resume", &text, &facts)?;
        return Ok(cara);
    }
    Err(too_fast())
}

fn sources(member: &Member, game: &GameId) -> BTreeSet<String> {
    let operation = member.snapshot.operations.iter().find(|o| o.game == *game);
    operation.into_iter().flat_map(|o| &o.sources).map(|id| peer_name(&member.snapshot, *id)).collect()
}

async fn compare(out: &Out, members: &[&Member], game: &GameId) -> Result<(), Failure> {
    let mut trees = Vec::new();
    for member in members {
        let root = member.game_root(game);
        let tree = tokio::task::spawn_blocking(move || game::tree(&root)).await;
        let tree = tree.map_err(std::io::Error::other).and_then(|tree| tree);
        trees.push((member.name, tree.map_err(|e| failed(format!("cannot read the game of {}: {e}", member.name)))?));
    }
    let Some((first, rest)) = trees.split_first() else { return Ok(()) };
    for (name, tree) in rest {
        if *tree != first.1 {
            let differ: Vec<&String> = tree
                .keys()
                .chain(first.1.keys())
                .filter(|file| tree.get(*file) != first.1.get(*file))
                .collect::<BTreeSet<_>>()
                .into_iter()
                .collect();
            let message = format!("the games of {} and {name} differ in {differ:?}", first.0);
            return Err(Report::new(ErrorClass::Corruption, "demo_failed", message).into());
        }
    }
    let files = count(first.1.len() as u64, "file");
    let text = format!("The three copies are the same, file by file, by BLAKE3: {files} each.");
    step(out, "compare", &text, &json!({ "files": first.1.len() }))
}
