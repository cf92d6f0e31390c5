//! Tokens by which devices join a player of this device.

use bonfire_engine::record::KnownToken;
use bonfire_engine::trust::secret::PairToken;
use bonfire_proto::message_pair::TokenName;
use rusqlite::{Connection, params};

use crate::error::Fault;
use crate::value::{parsed, role, role_word};

const TABLE: &str = "pair_token";

/// All of them, sorted by name.
pub(crate) fn all(conn: &Connection) -> Result<Vec<KnownToken>, Fault> {
    let mut query = conn.prepare_cached("SELECT name, token, player, role FROM pair_token ORDER BY name")?;
    let mut rows = query.query([])?;
    let mut out = Vec::new();
    while let Some(row) = rows.next()? {
        let (name, token): (String, String) = (row.get(0)?, row.get(1)?);
        let secret = PairToken::parse(&token).map_err(|e| Fault::row(TABLE, e))?;
        if secret.name().as_str() != name {
            return Err(Fault::row(TABLE, format!("a token that is not {name:?}")));
        }
        out.push(KnownToken {
            token,
            player: parsed(TABLE, &row.get::<_, String>(2)?)?,
            role: role(TABLE, &row.get::<_, String>(3)?)?,
        });
    }
    Ok(out)
}

pub(crate) fn put(conn: &Connection, known: &KnownToken) -> Result<(), Fault> {
    // What is wrong with it may tell a part of it, and an error ends in logs.
    let token = PairToken::parse(&known.token).map_err(|_| Fault::BadValue("a text that is no token".to_owned()))?;
    conn.prepare_cached("INSERT OR REPLACE INTO pair_token (name, token, player, role) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![token.name().as_str(), known.token, known.player.to_string(), role_word(known.role)])?;
    Ok(())
}

pub(crate) fn remove(conn: &Connection, name: &TokenName) -> Result<(), Fault> {
    conn.prepare_cached("DELETE FROM pair_token WHERE name = ?1")?.execute([name.as_str()])?;
    Ok(())
}
