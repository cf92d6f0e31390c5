//! What a `version.ini` says.

use bonfire_proto::limits::VERSION_LEN_MAX;

/// Staged sentinel of a download.
pub(crate) const TMP: &str = ".version.ini.tmp";
/// The sentinel of the version before, parked while its files change.
pub(crate) const DISCARDED: &str = ".version.ini.discarded";

/// The version in the text of a `version.ini`: the value of the first `version` key (any case, `=` or `:` between), or
/// else the first line that is neither empty, a `[section]` nor a `;`/`#` comment. Control characters are dropped and
/// the rest cut to `VERSION_LEN_MAX` bytes. Bytes that are not UTF-8 become replacement characters.
#[must_use]
pub fn parse(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let mut lines = text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with(['[', ';', '#']));
    let keyed = lines.clone().find_map(|l| {
        let (key, value) = l.split_once(['=', ':'])?;
        key.trim().eq_ignore_ascii_case("version").then(|| value.trim().trim_matches('"').to_owned())
    });
    let found = keyed.unwrap_or_else(|| lines.next().unwrap_or("").to_owned());
    bonfire_proto::text::clean_to(&found, VERSION_LEN_MAX)
}
