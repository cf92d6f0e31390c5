//! The command line of `devices`.

use clap::{Args, Subcommand};

/// Which player.
#[derive(Debug, Clone, Args)]
pub(crate) struct Whose {
    /// The player, by name or id [default: the only one of this machine]
    #[arg(long, value_name = "PLAYER")]
    pub(crate) player: Option<String>,
}

/// Players and their devices.
#[derive(Debug, Subcommand)]
pub(crate) enum DevicesCmd {
    /// List the players of this machine and their devices
    List,

    /// Make a player, whose first device this machine becomes
    CreatePlayer {
        /// Name for people
        name: String,
    },

    /// Make two machines devices of one player: without --code this one shows a code, with it the code is typed here
    #[command(after_help = "Examples:\n  bonfire devices pair                    # on one machine: shows a code\n  \
        bonfire devices pair --code C7H-4PX     # on the other one\n  \
        bonfire devices pair --code             # asks for the code\n\n\
        The machine that has a player invites the other one to it; --join turns that round. A code counts for two \
        minutes and three tries. --code - reads it from stdin.")]
    Pair(PairArgs),

    /// Make a token by which machines that nobody sits at join, until it is revoked
    Token {
        #[command(flatten)]
        whose: Whose,
        /// They become full devices of the player, that manage devices too
        #[arg(long)]
        personal: bool,
    },

    /// Let a token be used no more
    Revoke {
        /// Its first four characters
        token_name: String,
    },

    /// Rename a device, for everyone
    #[command(override_usage = "bonfire devices rename [OPTIONS] [DEVICE] <NAME>")]
    Rename {
        /// The device, by name or id [default: this one], and the new name
        #[arg(value_names = ["DEVICE", "NAME"], num_args = 1..=2, required = true)]
        names: Vec<String>,
        #[command(flatten)]
        whose: Whose,
    },

    /// Rename a player, for everyone
    RenamePlayer {
        /// The new name
        name: String,
        #[command(flatten)]
        whose: Whose,
    },

    /// Let a device take part in saves again
    Enable(DeviceArg),

    /// Let a device take part in saves no more; what it holds stays
    Disable(DeviceArg),

    /// End the trust in a device, here and on every device that hears of it
    Remove {
        /// The device, by name or id
        device: String,
        #[command(flatten)]
        whose: Whose,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },

    /// Say that this machine is one that the player had before, set up anew, or that it is not
    #[command(
        after_help = "Without flags, a known device that is this machine without doubt is taken for it. Where it is \
        not beyond doubt, this is refused and the device is named: answer with --as DEVICE, or with --allow-duplicate when \
        this is another machine."
    )]
    Register {
        #[command(flatten)]
        whose: Whose,
        /// It is this known device, by name or id
        #[arg(long = "as", value_name = "DEVICE", conflicts_with_all = ["allow_duplicate", "refuse_existing"])]
        chosen: Option<String>,
        /// It is another device, even if it looks like a known one
        #[arg(long)]
        allow_duplicate: bool,
        /// Refuse when it is a known device, and name that
        #[arg(long)]
        refuse_existing: bool,
        /// Forget what the known device had in sync
        #[arg(long)]
        reset_syncs: bool,
    },
}

/// A device.
#[derive(Debug, Args)]
pub(crate) struct DeviceArg {
    /// The device, by name or id [default: this one]
    pub(crate) device: Option<String>,

    #[command(flatten)]
    pub(crate) whose: Whose,
}

/// Arguments of `devices pair`.
#[derive(Debug, Args)]
pub(crate) struct PairArgs {
    /// The code that the other machine shows, or a token; without a value it is asked for
    #[arg(long, value_name = "CODE", num_args = 0..=1, default_missing_value = "-")]
    pub(crate) code: Option<String>,

    /// Only with this peer: its id, the beginning of its id, or its name
    #[arg(long, value_name = "PEER", requires = "code")]
    pub(crate) with: Option<String>,

    #[command(flatten)]
    pub(crate) whose: Whose,

    /// Become a device of the other machine's player, also where this one has a player
    #[arg(long, conflicts_with = "player")]
    pub(crate) join: bool,

    /// The joining device is one that nobody sits at, which holds saves and manages no devices: so it is with tokens,
    /// unless --personal is given
    #[arg(long)]
    pub(crate) unattended: bool,

    /// The joining device is the player's own, which manages devices too: so it is with codes; a token has to be made so
    #[arg(long, conflicts_with = "unattended")]
    pub(crate) personal: bool,
}
