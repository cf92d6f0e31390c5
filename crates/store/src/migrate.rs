//! From any schema that was ever shipped to the newest, one transaction each.

use rusqlite::{Connection, TransactionBehavior};

/// Schemas in order; the first makes schema 1 from an empty file. A shipped file is never edited: add another.
const MIGRATIONS: &[&str] = &[
    include_str!("migrations/0001-first.sql"),
    include_str!("migrations/0002-replication.sql"),
    include_str!("migrations/0003-saves.sql"),
    include_str!("migrations/0004-played.sql"),
];

/// The newest schema.
#[expect(clippy::cast_possible_wrap, reason = "a handful of files")]
pub const SCHEMA_VERSION: i64 = MIGRATIONS.len() as i64;

/// Marks the file as ours: "BNFR".
pub const APPLICATION_ID: i64 = 0x424E_4652;

/// What a file says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) application_id: i64,
    pub(crate) schema: i64,
    /// Whether it holds nothing at all.
    pub(crate) is_blank: bool,
}

pub(crate) fn stamp(conn: &Connection) -> rusqlite::Result<Stamp> {
    let pragma = |name| conn.pragma_query_value(None, name, |r| r.get::<_, i64>(0));
    let objects: i64 = conn.query_row("SELECT count(*) FROM sqlite_schema", [], |r| r.get(0))?;
    let (application_id, schema) = (pragma("application_id")?, pragma("user_version")?);
    Ok(Stamp { application_id, schema, is_blank: objects == 0 && application_id == 0 && schema == 0 })
}

/// Applies what is missing up to `to`, reading the schema anew within each transaction: another process may have been
/// faster. `seal` runs in the transaction that reaches the newest schema.
pub(crate) fn migrate(
    conn: &mut Connection,
    to: i64,
    seal: impl Fn(&Connection) -> rusqlite::Result<()>,
) -> rusqlite::Result<()> {
    loop {
        let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let at: i64 = tx.pragma_query_value(None, "user_version", |r| r.get(0))?;
        let next = usize::try_from(at).ok().and_then(|i| MIGRATIONS.get(i)).filter(|_| at < to);
        let Some(sql) = next else {
            seal(&tx)?;
            return tx.commit();
        };
        tx.execute_batch(sql)?;
        tx.pragma_update(None, "application_id", APPLICATION_ID)?;
        tx.pragma_update(None, "user_version", at + 1)?;
        tx.commit()?;
    }
}

#[cfg(test)]
mod tests;
