//! How a game is started, as an entry of the catalog says: for each platform a program, its folder and its environment.
//!
//! Owns what of such an entry is believed: nobody's may have a program load code by a variable, and one that somebody else
//! wrote starts no shell. Finding the program on a disk, and running it, is the front end's.

use std::collections::BTreeMap;
use std::fmt;

use bonfire_proto::RelPath;
use bonfire_proto::text::clean_to;
use serde::{Deserialize, Serialize};

/// Platforms that an entry may name, as `std::env::consts::OS` has them.
pub const PLATFORMS: [&str; 3] = ["linux", "macos", "windows"];
/// Most arguments of a start command, the program among them.
const ARGS_MAX: usize = 64;
/// Most variables.
const ENV_MAX: usize = 64;
/// Longest argument, name or value in bytes.
const TEXT_MAX: usize = 1_024;

/// Beginnings of names of variables by which a linker, an interpreter or a driver is told what code to load.
const LOADING_BEGINS: [&str; 8] =
    ["BASH_FUNC_", "COMPLUS_", "CORECLR_", "COR_", "DOTNET_", "DYLD_", "LD_", "__EGL_EXTERNAL_PLATFORM_"];
/// Such names, whole.
const LOADING: [&str; 51] = [
    "BASH_ENV",
    "CLASSPATH",
    "COMSPEC",
    "ENV",
    "GBM_BACKENDS_PATH",
    "GCONV_PATH",
    "GIO_EXTRA_MODULES",
    "GIO_MODULE_DIR",
    "GTK3_MODULES",
    "GTK_EXE_PREFIX",
    "GTK_MODULES",
    "GTK_PATH",
    "IFS",
    "JAVA_TOOL_OPTIONS",
    "JDK_JAVA_OPTIONS",
    "LIBGL_DRIVERS_PATH",
    "LIBVA_DRIVERS_PATH",
    "LUA_CPATH",
    "LUA_INIT",
    "LUA_PATH",
    "NODE_OPTIONS",
    "NODE_PATH",
    "OCL_ICD_VENDORS",
    "OPENSSL_CONF",
    "PATH",
    "PATHEXT",
    "PERL5DB",
    "PERL5LIB",
    "PERL5OPT",
    "PERLLIB",
    "PROMPT_COMMAND",
    "PS4",
    "PYTHONHOME",
    "PYTHONINSPECT",
    "PYTHONPATH",
    "PYTHONSTARTUP",
    "QT_PLUGIN_PATH",
    "QT_QPA_PLATFORM_PLUGIN_PATH",
    "RUBYLIB",
    "RUBYOPT",
    "SDL_DYNAMIC_API",
    "SHELLOPTS",
    "VK_ADD_DRIVER_FILES",
    "VK_ADD_LAYER_PATH",
    "VK_DRIVER_FILES",
    "VK_ICD_FILENAMES",
    "VK_LAYER_PATH",
    "WINEDLLPATH",
    "WINELOADER",
    "_JAVA_OPTIONS",
    "__EGL_VENDOR_LIBRARY_FILENAMES",
];
/// Programs that run whatever their arguments say, without what a version adds to their names.
const SHELLS: [&str; 38] = [
    "ash",
    "awk",
    "bash",
    "busybox",
    "cmd",
    "command",
    "cscript",
    "csh",
    "dash",
    "env",
    "fish",
    "gawk",
    "ksh",
    "lua",
    "mawk",
    "mksh",
    "mshta",
    "node",
    "nohup",
    "nu",
    "osascript",
    "perl",
    "php",
    "powershell",
    "pwsh",
    "python",
    "pythonw",
    "rbash",
    "ruby",
    "rundll",
    "setsid",
    "sh",
    "sudo",
    "tcsh",
    "toybox",
    "wscript",
    "yash",
    "zsh",
];

/// How a game is started on one platform.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartCommand {
    /// The program and its arguments. The program is a path beneath the install, or the name of one that the machine has.
    pub run: Vec<String>,
    /// The folder to start it in, beneath the install; the install itself when empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub folder: String,
    /// Variables to set.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Whether it came with a catalog that was imported. Somebody else wrote it then, and it starts what the game brings and
    /// nothing else.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub imported: bool,
}

/// Why something is no start command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoStart {
    /// It names no program, leads out of the install, or is beyond a bound.
    Form,
    /// This variable has programs load code.
    LoadsCode(String),
    /// Somebody else wrote it, and it starts this shell.
    Shell(String),
}

impl fmt::Display for NoStart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Form => write!(f, "it names no program beneath the install or by a plain name, or is too long"),
            Self::LoadsCode(name) => write!(f, "the variable {} has programs load code", clean_to(name, 64)),
            Self::Shell(name) => {
                write!(f, "{} runs whatever it is given, and somebody else wrote it", clean_to(name, 64))
            }
        }
    }
}

impl StartCommand {
    /// Whether it can be a start command: it names a program, leads nowhere out of the install, is of bounded size, and
    /// neither loads code by its variables nor starts a shell that somebody else chose.
    #[must_use]
    pub fn is_legal(&self) -> bool {
        self.refusal().is_none()
    }

    /// Why it cannot be one, if it cannot.
    #[must_use]
    pub fn refusal(&self) -> Option<NoStart> {
        if !self.has_form() {
            return Some(NoStart::Form);
        }
        if let Some(name) = self.env.keys().find(|name| loads_code(name)) {
            return Some(NoStart::LoadsCode(name.clone()));
        }
        let shell = self.run.first().filter(|program| self.imported && is_shell(program));
        shell.map(|program| NoStart::Shell(program.clone()))
    }

    /// The same as one that came from somebody else, unless it is `own` already.
    #[must_use]
    pub fn as_imported(self, own: Option<&Self>) -> Self {
        let by_others = Self { imported: true, ..self };
        let is_own = own.is_some_and(|own| !own.imported && Self { imported: true, ..own.clone() } == by_others);
        Self { imported: !is_own, ..by_others }
    }

    fn has_form(&self) -> bool {
        let is_text = |text: &String| text.len() <= TEXT_MAX && !text.contains('\0');
        let is_name = |name: &String| is_text(name) && !name.is_empty() && !name.contains('=');
        self.run.first().is_some_and(|program| RelPath::new(program.trim_start_matches("./")).is_ok())
            && self.run.len() <= ARGS_MAX
            && self.run.iter().all(is_text)
            && (self.folder.is_empty() || RelPath::new(self.folder.as_str()).is_ok())
            && self.env.len() <= ENV_MAX
            && self.env.iter().all(|(name, value)| is_name(name) && is_text(value))
    }
}

fn loads_code(variable: &str) -> bool {
    // Windows does not tell cases apart.
    let name = variable.to_ascii_uppercase();
    LOADING_BEGINS.iter().any(|begin| name.starts_with(begin)) || LOADING.contains(&&name[..])
}

/// Whether a program runs what its arguments say, by its name alone: `python3.12` and `CMD.EXE` are.
fn is_shell(program: &str) -> bool {
    let name = program.rsplit('/').next().unwrap_or(program).to_ascii_lowercase();
    let name = name.strip_suffix(".exe").or_else(|| name.strip_suffix(".com")).unwrap_or(&name);
    SHELLS.contains(&name.trim_end_matches(|c: char| c.is_ascii_digit() || matches!(c, '.' | '-')))
}

/// Those of an entry's start commands that are believed.
#[must_use]
pub fn legal(mut start: BTreeMap<String, StartCommand>) -> BTreeMap<String, StartCommand> {
    start.retain(|platform, command| PLATFORMS.contains(&&platform[..]) && command.is_legal());
    start
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(words: &[&str]) -> StartCommand {
        StartCommand { run: words.iter().map(|w| (*w).to_owned()).collect(), ..StartCommand::default() }
    }

    #[test]
    fn a_start_command_stays_in_the_install_and_names_a_program() {
        for legal in [&["./doom", "-skill", "4"][..], &["bin/doom"], &["chocolate-doom", "-iwad", "freedoom2.wad"]] {
            assert!(run(legal).is_legal(), "{legal:?}");
        }
        for wrong in [&[][..], &[""], &["../doom"], &["/bin/sh"], &["a\\b"], &["doom", "a\0b"]] {
            assert!(!run(wrong).is_legal(), "{wrong:?}");
        }
        assert!(!StartCommand { folder: "../..".to_owned(), ..run(&["doom"]) }.is_legal());
        let env = BTreeMap::from([("A=B".to_owned(), "c".to_owned())]);
        assert!(!StartCommand { env, ..run(&["doom"]) }.is_legal());
        assert!(!run(&vec!["doom"; 65]).is_legal());
    }

    #[test]
    fn no_variable_has_a_program_load_code() {
        let with = |name: &str| StartCommand { env: [(name.to_owned(), "x".to_owned())].into(), ..run(&["./doom"]) };
        for name in
            ["LD_PRELOAD", "ld_preload", "LD_LIBRARY_PATH", "LD_AUDIT", "DYLD_INSERT_LIBRARIES", "PATH", "BASH_ENV"]
        {
            assert_eq!(with(name).refusal(), Some(NoStart::LoadsCode(name.to_owned())));
        }
        for name in ["LANG", "MODE", "SDL_VIDEODRIVER", "WINEDLLOVERRIDES", "LDFLAGS_OF_DOOM"] {
            assert_eq!(with(name).refusal(), None, "{name}");
        }
    }

    #[test]
    fn a_command_of_somebody_else_starts_no_shell() {
        for shell in ["sh", "bash", "./sh", "bin/BASH", "python3.12", "cmd.exe", "powershell", "env", "rundll32.exe"] {
            let own = run(&[shell, "-c", "true"]);
            assert!(own.is_legal(), "{shell}: a person may say what they like to start");
            assert_eq!(own.as_imported(None).refusal(), Some(NoStart::Shell(shell.to_owned())));
        }
        for program in ["./doom3", "shogun", "./bash.sh", "commander", "wine"] {
            assert!(run(&[program]).as_imported(None).is_legal(), "{program}");
        }
    }

    #[test]
    fn what_a_person_said_stays_theirs_when_it_comes_back_by_an_import() {
        let own = run(&["./doom"]);
        assert!(!own.clone().as_imported(Some(&own)).imported);
        assert!(own.clone().as_imported(Some(&own.clone().as_imported(None))).imported);
        assert!(own.clone().as_imported(Some(&run(&["./quake"]))).imported);
        let claims = StartCommand { imported: false, ..run(&["./doom"]) };
        assert!(claims.as_imported(None).imported, "nobody else says whose it is");
    }

    #[test]
    fn platforms_that_nobody_knows_are_passed_over() {
        let of = |platform: &str| (platform.to_owned(), run(&["doom"]));
        let kept = legal(BTreeMap::from([of("linux"), of("amiga")]));
        assert_eq!(kept.into_keys().collect::<Vec<_>>(), ["linux"]);
    }
}
