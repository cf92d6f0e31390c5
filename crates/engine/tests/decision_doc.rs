//! Holds the table on `docs/save-decisions.md` to the code.
//!
//! `BLESS=1 cargo test -p bonfire-engine --test decision_doc` rewrites it.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::path::Path;

use bonfire_engine::saves::Row;

const START: &str = "<!-- generated: decisions -->";

#[test]
fn the_page_has_the_table_of_the_code() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/save-decisions.md");
    // A checkout may end its lines in two characters.
    let page = std::fs::read_to_string(&path).unwrap().replace("\r\n", "\n");
    let (before, rest) = page.split_once(START).expect("the page has a place for the table");
    let after = rest.find("\nIn all of them:").map(|at| &rest[at..]).expect("text follows the table");
    let wanted = format!("{before}{START}\n\n{}{after}", Row::markdown());
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, &wanted).unwrap();
    } else {
        assert!(page == wanted, "docs/save-decisions.md is not what the code says; see the top of this test");
    }
    assert_eq!(wanted.matches("\n| 1").count(), 10, "rows 1 and 10 to 18");
}
