//! The placeholders of the format: which there are, and which of them stand for a folder.
//!
//! Where a placeholder's folder is on a machine is `facts`'; what a path may do with them is `rule_path`'s.

use std::fmt;

macro_rules! placeholders {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// A placeholder of the format.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Placeholder {
            $($(#[$doc])* $variant,)*
        }

        impl Placeholder {
            /// Every one of them.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// Its name, without the angle brackets.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}

placeholders! {
    /// A folder where a store installs games.
    Root = "root",
    /// The name of the folder that the game is installed in.
    Game = "game",
    /// The folder that the game is installed in.
    Base = "base",
    /// The person's home folder.
    Home = "home",
    /// The game's id in its store.
    StoreGameId = "storeGameId",
    /// The person's id in the store.
    StoreUserId = "storeUserId",
    /// The person's name on the machine.
    OsUserName = "osUserName",
    /// `%APPDATA%`.
    WinAppData = "winAppData",
    /// `%LOCALAPPDATA%`.
    WinLocalAppData = "winLocalAppData",
    /// `LocalLow` beside it.
    WinLocalAppDataLow = "winLocalAppDataLow",
    /// The documents folder.
    WinDocuments = "winDocuments",
    /// `%PUBLIC%`.
    WinPublic = "winPublic",
    /// `%PROGRAMDATA%`.
    WinProgramData = "winProgramData",
    /// `%WINDIR%`.
    WinDir = "winDir",
    /// `$XDG_DATA_HOME`.
    XdgData = "xdgData",
    /// `$XDG_CONFIG_HOME`.
    XdgConfig = "xdgConfig",
}

impl Placeholder {
    /// The placeholder of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|p| p.name() == name)
    }

    /// Whether it stands for a folder, and so begins a path; the others stand for a name or a part of one.
    #[must_use]
    pub fn is_folder(self) -> bool {
        !matches!(self, Self::Game | Self::StoreGameId | Self::StoreUserId | Self::OsUserName)
    }
}

impl fmt::Display for Placeholder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{}>", self.name())
    }
}
