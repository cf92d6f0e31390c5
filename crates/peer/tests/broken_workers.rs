//! A worker that panics costs its operation, and nothing else: the operation ends with an error, the peer goes on.
#![allow(clippy::unwrap_used, missing_docs, unreachable_pub, reason = "a test may stop at the first surprise")]

#[allow(dead_code, reason = "other tests use the rest of it")]
mod seat;

use std::path::Path;
use std::sync::{Arc, Mutex};

use bonfire_engine::command::TransferCommand;
use bonfire_engine::{ErrorClass, PeerEvent, Report};

use seat::{MIB, Seat, Step, game, payload, write};

fn small(root: &Path) {
    write(root, "doom.eti", 9 * MIB + 123, 1);
    write(root, "extra/level.dat", 2 * MIB, 2);
}

/// The one step at which the next worker panics.
#[derive(Clone, Default)]
struct Fault(Arc<Mutex<Option<(Step, &'static str)>>>);

impl Fault {
    fn set(&self, step: Step, path: &'static str) {
        *self.0.lock().unwrap() = Some((step, path));
    }

    fn is_spent(&self) -> bool {
        self.0.lock().unwrap().is_none()
    }

    /// A seat that panics at the step that is set.
    async fn seat(&self, host: &Seat) -> Seat {
        let fault = self.clone();
        Seat::hooked(tempfile::tempdir().unwrap(), "guest", vec![host.addr()], move |step, path| {
            let hit = fault.0.lock().unwrap().take_if(|at| *at == (step, path)).is_some();
            assert!(!hit, "planted: {step:?} {path}");
        })
        .await
    }
}

async fn failed(seat: &mut Seat) -> Report {
    let error = seat
        .until("the failure", |e| match e {
            PeerEvent::DownloadFailed { error, .. } | PeerEvent::RemoveFailed { error, .. } => Some(error.clone()),
            PeerEvent::DownloadFinished { .. } | PeerEvent::GameRemoved { .. } => panic!("it ended well"),
            _ => None,
        })
        .await;
    seat.when("the end", |s| s.operations.iter().all(|o| o.game != game("doom"))).await;
    error
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_panics_at_a_step_of_a_download_fails_it_and_the_next_try_brings_the_game() {
    let host = Seat::hosting("doom", small).await;
    let steps = [
        (Step::CreateDir, "doom"),
        (Step::Rename, "doom/.bonfire.part"),
        (Step::Rename, "doom/.lanspread.json"),
        (Step::OpenWrite, "doom/doom.eti"),
        (Step::OpenWrite, "doom/.version.ini.tmp"),
        (Step::Rename, "doom/version.ini"),
        (Step::RemoveFile, "doom/.bonfire.part"),
    ];
    for (step, path) in steps {
        let fault = Fault::default();
        let mut guest = fault.seat(&host).await;
        guest.offered("doom", 1).await;
        fault.set(step, path);
        guest.get("doom").await.unwrap();
        let error = failed(&mut guest).await;
        assert!(fault.is_spent(), "{step:?} {path}: nothing was hit, and yet: {error:?}");
        assert_eq!((error.class, error.code.as_str()), (ErrorClass::Bug, "worker_panicked"), "{step:?} {path}");

        guest.get("doom").await.unwrap();
        guest.finished().await;
        assert_eq!(payload(&guest.root("doom")), payload(&host.root("doom")), "{step:?} {path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_panics_at_a_step_of_a_removal_fails_it_the_peer_serves_and_the_next_start_finishes_it() {
    let host = Seat::hosting("doom", small).await;
    let fault = Fault::default();
    let mut guest = fault.seat(&host).await;
    write(&guest.root("quake"), "quake.eti", 5 * MIB, 3);
    guest.add("quake").await;
    guest.offered("doom", 1).await;
    guest.get("doom").await.unwrap();
    guest.finished().await;
    guest.when("quiet", |s| s.operations.is_empty()).await;
    fault.set(Step::RemoveFile, "doom/doom.eti");
    guest.transfer(TransferCommand::Remove { game: game("doom") }).await.unwrap();
    let error = failed(&mut guest).await;
    assert!(fault.is_spent(), "nothing was hit, and yet: {error:?}");
    assert_eq!((error.class, error.code.as_str()), (ErrorClass::Bug, "worker_panicked"));

    let mut third = Seat::new("third", vec![guest.addr()]).await;
    third.offered("quake", 1).await;
    third.get("quake").await.unwrap();
    third.finished().await;
    assert_eq!(payload(&third.root("quake")), payload(&guest.root("quake")));

    // What was begun is recorded: the next start finishes it.
    let guest = Seat::on(guest.stop().await, "guest", Vec::new()).await;
    assert!(!guest.root("doom").exists());
    assert!(guest.root("quake").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removal_that_failed_half_way_can_be_asked_for_again() {
    let host = Seat::hosting("doom", small).await;
    let fault = Fault::default();
    let mut guest = fault.seat(&host).await;
    guest.offered("doom", 1).await;
    guest.get("doom").await.unwrap();
    guest.finished().await;
    guest.when("quiet", |s| s.operations.is_empty()).await;
    fault.set(Step::RemoveFile, "doom/doom.eti");
    guest.transfer(TransferCommand::Remove { game: game("doom") }).await.unwrap();
    failed(&mut guest).await;
    assert!(fault.is_spent() && guest.root("doom").join("doom.eti").exists());
    guest.when("quiet", |s| s.operations.is_empty()).await;
    guest.transfer(TransferCommand::Remove { game: game("doom") }).await.unwrap();
    guest.until("its removal", |e| matches!(e, PeerEvent::GameRemoved { .. }).then_some(())).await;
    assert!(!guest.root("doom").exists());
    let again = guest.transfer(TransferCommand::Remove { game: game("doom") }).await.unwrap_err();
    assert_ne!(again.code, "bug", "{again:?}");
}
