use super::*;

/// The schema as SQLite tells it, without what depends on how it came about.
fn schema(conn: &Connection) -> Vec<String> {
    let mut query = conn.prepare("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name").unwrap();
    query.query_map([], |r| r.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
}

fn at(version: i64) -> Connection {
    let mut conn = Connection::open_in_memory().unwrap();
    migrate(&mut conn, version, |_| Ok(())).unwrap();
    conn
}

#[test]
fn every_shipped_schema_upgrades_to_the_newest() {
    let newest = schema(&at(SCHEMA_VERSION));
    for from in 0..=SCHEMA_VERSION {
        let mut conn = at(from);
        let before = stamp(&conn).unwrap();
        assert_eq!((before.schema, before.is_blank), (from, from == 0));
        migrate(&mut conn, SCHEMA_VERSION, |_| Ok(())).unwrap();
        assert_eq!(schema(&conn), newest, "from schema {from}");
        let after = stamp(&conn).unwrap();
        assert_eq!((after.schema, after.application_id), (SCHEMA_VERSION, APPLICATION_ID));
    }
}

#[test]
fn a_migration_that_fails_leaves_the_schema_before_it() {
    let mut conn = Connection::open_in_memory().unwrap();
    // In the way of the first migration's last table.
    conn.execute_batch("CREATE TABLE setting (x)").unwrap();
    migrate(&mut conn, SCHEMA_VERSION, |_| Ok(())).unwrap_err();
    assert_eq!(schema(&conn), ["CREATE TABLE setting (x)"]);
    assert_eq!(stamp(&conn).unwrap().schema, 0);
}

#[test]
fn shipped_migrations_are_never_edited() {
    // A file that differs from what was shipped would make databases that no upgrade path knows.
    let lengths: Vec<_> = MIGRATIONS.iter().map(|sql| sql.len()).collect();
    let hashes: Vec<_> = MIGRATIONS.iter().map(|sql| fnv(sql.replace("\r\n", "\n").as_bytes())).collect();
    assert_eq!(hashes, SHIPPED, "lengths {lengths:?}");
}

const SHIPPED: &[u64] = &[0xe045_2c6c_ec29_2e8f, 0x5db0_2375_768c_cb11, 0x8577_eedb_c02e_91ef, 0xb277_01ff_80a4_c254];

/// FNV-1a: enough to notice an edit.
fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3))
}
