//! Counts of what happened in a run: a fault that never fired proves nothing.

/// How often each thing happened in a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Power cuts.
    pub crashes: u64,
    /// Power cuts while a download was under way on that machine.
    pub crashes_in_download: u64,
    /// Peers that shut down in order.
    pub left: u64,
    /// Peers that came back after either.
    pub returned: u64,
    /// State databases lost.
    pub new_epochs: u64,
    /// Steps of the disk that failed for want of room.
    pub failed_writes: u64,
    /// Links cut in both directions.
    pub cuts: u64,
    /// Links cut in one direction.
    pub half_cuts: u64,
    /// Downloads that finished.
    pub downloads: u64,
    /// Downloads that finished with bytes that lay here already.
    pub reused: u64,
    /// Downloads that stood still for want of a source.
    pub paused: u64,
    /// Downloads cancelled.
    pub cancels: u64,
    /// Downloads cancelled with files on the disk.
    pub cancels_midway: u64,
    /// Sources given up.
    pub sources_dropped: u64,
    /// Games removed.
    pub removed: u64,
    /// Verifications that ended well.
    pub verified: u64,
    /// Verifications that fetched bytes anew.
    pub repaired: u64,
    /// Changes of games by people, flipped bytes among them.
    pub changes: u64,
    /// Commands sent.
    pub commands: u64,
    /// Commands refused.
    pub refusals: u64,
    /// Events heard.
    pub events: u64,
    /// Looks at a whole game root that found exactly one version.
    pub whole: u64,
}

impl Tally {
    /// Adds another run's.
    pub fn add(&mut self, o: &Self) {
        self.crashes += o.crashes;
        self.crashes_in_download += o.crashes_in_download;
        self.left += o.left;
        self.returned += o.returned;
        self.new_epochs += o.new_epochs;
        self.failed_writes += o.failed_writes;
        self.cuts += o.cuts;
        self.half_cuts += o.half_cuts;
        self.downloads += o.downloads;
        self.reused += o.reused;
        self.paused += o.paused;
        self.cancels += o.cancels;
        self.cancels_midway += o.cancels_midway;
        self.sources_dropped += o.sources_dropped;
        self.removed += o.removed;
        self.verified += o.verified;
        self.repaired += o.repaired;
        self.changes += o.changes;
        self.commands += o.commands;
        self.refusals += o.refusals;
        self.events += o.events;
        self.whole += o.whole;
    }
}
