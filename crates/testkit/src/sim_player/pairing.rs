//! Two simulated devices pair by a code: the real stages of the engine, with the proof itself taken as given.

use bonfire_engine::command::{Command, DevicesCommand, Reply};
use bonfire_engine::input::{Input, PairAnswer, PairCall, PairId, PairInput};
use bonfire_engine::trust::DeviceRole;
use bonfire_engine::{ErrorClass, Report};
use bonfire_proto::Digest;
use bonfire_proto::PlayerId;
use bonfire_proto::message_pair::{PAIR_VERSION, PAKE_LEN, PairInvite, PairPart, PairStart, PakeMessage};

use super::world::World;

/// A pairing under way: whose numbers it has on either side.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pairing {
    caller: usize,
    ours: PairId,
    shower: usize,
    theirs: PairId,
    part: PairPart,
}

impl World {
    /// Has `joining` join a player of `inviting`, over the connection that they have. Whether it came about.
    pub(super) fn pair_devices(&mut self, inviting: usize, joining: usize, player: PlayerId, role: DeviceRole) -> bool {
        let is_up = self.machines[inviting].engine.is_some() && self.machines[joining].engine.is_some();
        if !is_up || self.conn(joining, inviting).is_none() {
            return false;
        }
        self.truth.ever.entry(player).or_default().extend([inviting, joining]);
        let show = DevicesCommand::ShowCode { player: Some(player), join: false, role };
        let shown = self.command(inviting, Command::Devices(show));
        let Some(Ok(Reply::PairCode { code, .. })) = self.truth.replies.get(&shown).cloned() else { return false };
        let with = Some(self.machines[inviting].id);
        let call = DevicesCommand::Pair { code, with, player: None, join: true, role };
        let called = self.command(joining, Command::Devices(call));
        let is_paired = matches!(self.truth.replies.get(&called), Some(Ok(Reply::Paired { .. })));
        self.cut_off_pairing();
        if !is_paired {
            self.command(inviting, Command::Devices(DevicesCommand::HideCode));
        } else {
            self.truth.members.entry(player).or_default().extend([inviting, joining]);
        }
        is_paired
    }

    /// Whoever is left of a pairing by which the other one crashed hears that its stream is gone.
    fn cut_off_pairing(&mut self) {
        let Some(Pairing { caller, ours, shower, theirs, .. }) = self.truth.pairing.take() else { return };
        self.fired("a pairing cut off");
        for (m, id) in [(caller, ours), (shower, theirs)] {
            let error = Report::new(ErrorClass::Unreachable, "gone", "the connection is gone").retryable();
            self.give(m, Input::Pairing(id, PairInput::Failed { error, refused: None }));
        }
    }

    /// A device types a code.
    pub(super) fn pair(&mut self, m: usize, ours: PairId, call: &PairCall) {
        let Some(shower) = self.other_end(call.conn).filter(|_| self.is_live(call.conn)) else {
            let error = Report::new(ErrorClass::Unreachable, "gone", "the connection is gone").retryable();
            return self.give(m, Input::Pairing(ours, PairInput::Failed { error, refused: None }));
        };
        self.machines[shower].pairs += 1;
        let theirs = PairId::Theirs(self.machines[shower].pairs);
        self.truth.pairing = Some(Pairing { caller: m, ours, shower, theirs, part: call.part });
        let token = call.secret.token_name().cloned();
        let start = PairStart { version: PAIR_VERSION, part: call.part, token, pake: PakeMessage([0; PAKE_LEN]) };
        let who = self.proven(m);
        self.give(shower, Input::Pairing(theirs, PairInput::Began(who, start)));
    }

    /// A device answers in a pairing.
    pub(super) fn pair_answered(&mut self, m: usize, id: PairId, answer: PairAnswer) {
        let Some(Pairing { caller, ours, shower, theirs, part }) = self.truth.pairing else { return };
        let is_caller = m == caller && id == ours;
        let ((other, other_id), who) =
            if is_caller { ((shower, theirs), self.proven(caller)) } else { ((caller, ours), self.proven(shower)) };
        match answer {
            PairAnswer::Show { .. } => {
                // Both prove the code; whoever joins awaits what the other says.
                let (first, second) = ((shower, theirs, caller), (caller, ours, shower));
                let order = if part == PairPart::Joins { [second, first] } else { [first, second] };
                for (to, id, of) in order {
                    let who = self.proven(of);
                    self.give(to, Input::Pairing(id, PairInput::Proven(who)));
                }
            }
            PairAnswer::AwaitInvitation => {}
            PairAnswer::Invite { player, role, ours: device } => {
                let invite = PairInvite { player, role, device, mac: Digest([0; 32]) };
                self.give(other, Input::Pairing(other_id, PairInput::Invited(who, invite)));
            }
            PairAnswer::Accept { ours: device } => {
                self.give(other, Input::Pairing(other_id, PairInput::Accepted(who, device)));
            }
            PairAnswer::Confirm => {
                let confirmed = self.proven(other);
                self.give(other, Input::Pairing(other_id, PairInput::Done(who)));
                self.give(m, Input::Pairing(id, PairInput::Done(confirmed)));
                self.truth.pairing = None;
            }
            PairAnswer::Refuse(why) => {
                let error = || Report::new(ErrorClass::Refused, "refused", format!("{why:?}"));
                self.note(format_args!("{m} refuses to pair: {why:?}"));
                self.truth.pairing = None;
                self.give(other, Input::Pairing(other_id, PairInput::Failed { error: error(), refused: Some(why) }));
                self.give(m, Input::Pairing(id, PairInput::Failed { error: error(), refused: None }));
            }
        }
    }
}
