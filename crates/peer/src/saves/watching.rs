//! Watching the live folders of save sets, as the desk names them.
//!
//! Naming folders lists all that is beneath them, so it is done beside the task, one after the other. Without a watcher the
//! desk looks from time to time all the same.

use bonfire_disk::saves::{SaveSet, SaveWatchEvent, SaveWatcher};
use bonfire_engine::input::Input;
use bonfire_engine::saves::work::{Placement, SaveInput, SetKey};
use bonfire_engine::{ErrorClass, Report};
use std::sync::Arc;
use tokio::sync::mpsc;

use super::LiveSaves;
use crate::errors::chain;
use crate::task::Event;

/// The watcher of saves, while there is one.
#[derive(Debug, Default)]
pub(crate) struct Watching {
    places: Option<mpsc::UnboundedSender<(SetKey, Placement)>>,
}

impl Watching {
    /// Starts to watch. To be called where the runtime is.
    pub(crate) fn start(live: Arc<dyn LiveSaves>, events: mpsc::Sender<Event>) -> Self {
        let tell = events.clone();
        let watcher = SaveWatcher::start(move |seen| {
            let input = match seen {
                SaveWatchEvent::Stirred(set) => SaveInput::Stirred(SetKey { player: set.player, game: set.game_id }),
                SaveWatchEvent::Everything => SaveInput::AllStirred,
                SaveWatchEvent::Failed(why) => SaveInput::WatchFailed(failed(&why)),
            };
            // On the watcher's own thread. It waits while the queue is full, as the system's queue then does.
            if tell.blocking_send(Event::Input(Input::Save(input))).is_err() {
                tracing::trace!("a save stirred after the end");
            }
        });
        let watcher = match watcher {
            Ok(watcher) => watcher,
            Err(error) => {
                let input = SaveInput::WatchFailed(failed(&chain(&error)));
                if events.try_send(Event::Input(Input::Save(input))).is_err() {
                    tracing::warn!("saves cannot be watched: {}", chain(&error));
                }
                return Self::default();
            }
        };
        // Not bounded: one for each time that a person says where a save lies, and the task must not wait.
        let (places, mut named) = mpsc::unbounded_channel::<(SetKey, Placement)>();
        tokio::task::spawn_blocking(move || {
            while let Some((set, place)) = named.blocking_recv() {
                let folders = live.folders(&place).unwrap_or_else(|error| {
                    tracing::warn!("the save of {} is not watched: {error}", set.game);
                    Vec::new()
                });
                watcher.set_places(SaveSet { player: set.player, game_id: set.game }, folders);
            }
        });
        Self { places: Some(places) }
    }

    /// Watches the folders of a set, instead of those before.
    pub(crate) fn watch(&self, set: SetKey, place: Placement) {
        if let Some(places) = &self.places
            && places.send((set, place)).is_err()
        {
            tracing::debug!("the watcher of saves has ended");
        }
    }

    /// Ends it, once what was named is watched.
    pub(crate) fn stop(&mut self) {
        self.places = None;
    }
}

fn failed(why: &str) -> Report {
    let what = format!("changes of saves are not all seen: {why}");
    Report::new(ErrorClass::Environment, "save_watch_failed", what).hint("saves are looked at from time to time")
}
