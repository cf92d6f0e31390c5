//! `ARCHITECTURE.md` names paths and symbols; each has to exist. A page that names what is gone misleads every reader.
//!
//! In `backticks`, outside fenced blocks: a path into the tree (`crates/..`, `docs/..`, anything ending in `.rs`, `.md`,
//! `.toml` or `.sh`) must be there; `Type::item`, `module::item`, `function()` and `TypeName` must be defined. Names of other
//! crates' things are written with their crate (`std::fs`, `blake3::hazmat`).

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod tree;

use std::collections::BTreeSet;

use syn::visit::Visit;

const PAGE: &str = "ARCHITECTURE.md";

/// Names of the standard library that read better without their path.
const WELL_KNOWN: &[&str] = &[
    "Arc",
    "BTreeMap",
    "BTreeSet",
    "Box",
    "Duration",
    "Err",
    "File",
    "HashMap",
    "HashSet",
    "Instant",
    "Mutex",
    "None",
    "Ok",
    "Option",
    "Path",
    "PathBuf",
    "Result",
    "Some",
    "String",
    "SystemTime",
    "Vec",
];

#[test]
fn every_path_and_symbol_that_the_architecture_names_exists() {
    assert!(tree::root().join(PAGE).is_file(), "{PAGE} is missing: write it, it is the page that people read first");
    let page = tree::read(PAGE);
    let wrong = missing(&page, &Tree::read());
    assert!(wrong.is_empty(), "{PAGE} names what is not there:\n{}", wrong.join("\n"));
    assert!(page.lines().count() <= 250, "{PAGE} is over 250 lines: nobody reads it in one sitting");
}

#[test]
fn catches_a_planted_path_or_symbol() {
    let tree = Tree::read();
    for gone in [
        "crates/proto/src/nothing.rs",
        "docs/formats/nothing.md",
        "nothing.rs",
        "scripts/nothing.sh",
        "Manifest::nothing",
        "Manifest::nothing()",
        "Nothing::check",
        "frame::nothing",
        "bonfire_proto::nothing",
        "nothing_at_all()",
        "NoSuchType",
        "NO_SUCH_CONSTANT",
        "Availability::Nothing",
        "CloseCode::Nothing",
    ] {
        assert_eq!(missing(&format!("See `{gone}`."), &tree).len(), 1, "{gone} was not caught");
    }
}

#[test]
fn finds_what_is_there() {
    let tree = Tree::read();
    let page = "`crates/proto/src/frame.rs` `crates/proto/` `frame.rs` `src/frame.rs` `scripts/test.sh` `Cargo.toml` \
                `Manifest::check` `Manifest::check()` `Manifest::files` `Availability::LocalOnly` `frame::decode` \
                `bonfire_proto::frame::decode` `bonfire_proto::RelPath` `check_collisions()` `RelPath` `CHUNK_LEN` \
                `CloseCode::Duplicate` `ManifestHash` `Family::check` `std::fs` `blake3::hazmat` `BTreeMap` `None` \
                `version.ini` `local/` `.local.installing/` `state.db` `peer_id` `cargo test` `{\"type\":\"ping\"}` `--json` \
                `GetGame { known_manifest_hash }` `a -> b`\n```\n`not::read`\n```\n";
    assert_eq!(missing(page, &tree), Vec::<String>::new());
}

fn missing(page: &str, tree: &Tree) -> Vec<String> {
    let mut wrong: Vec<String> = named(page).into_iter().filter(|name| !tree.has(name)).collect();
    wrong.dedup();
    wrong
}

/// What stands in backticks outside fenced blocks.
fn named(page: &str) -> Vec<String> {
    let mut fenced = false;
    let mut names = Vec::new();
    for line in page.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if !fenced {
            names.extend(line.split('`').skip(1).step_by(2).map(str::to_owned));
        }
    }
    names
}

/// What the tree holds: its files, and what its sources define.
struct Tree {
    files: Vec<String>,
    /// Everything defined, by its own name.
    names: BTreeSet<String>,
    /// (owner, item): module and item, type and method, enum and variant, struct and field.
    pairs: BTreeSet<(String, String)>,
    /// Words inside the macros of each file, where definitions hide from a parser.
    macros: Vec<BTreeSet<String>>,
    /// Every upper-case word in code and scripts: constants and variables of the environment.
    shouted: BTreeSet<String>,
    /// Crates from elsewhere.
    foreign: BTreeSet<String>,
}

impl Tree {
    fn read() -> Self {
        let files = tree::files();
        let mut index = Index::default();
        let mut shouted = BTreeSet::new();
        for file in &files {
            if file.ends_with(".rs") || file.ends_with(".sh") || file.ends_with(".toml") {
                let words = |text: &str| {
                    text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
                        .filter(|w| is_shouted(w))
                        .map(str::to_owned)
                        .collect::<Vec<_>>()
                };
                // This file plants names that must not be found.
                if !file.ends_with("tests/architecture.rs") {
                    shouted.extend(words(&tree::read(file)));
                }
            }
            if file.ends_with(".rs") && (file.starts_with("crates/") || file.starts_with("tests/src/")) {
                index.add_file(file);
            }
        }
        let foreign = tree::read("Cargo.lock")
            .lines()
            .filter_map(|l| l.strip_prefix("name = \""))
            .map(|l| l.trim_end_matches('"').replace('-', "_"))
            .filter(|n| !n.starts_with("bonfire"))
            .chain(["std", "core", "alloc"].map(str::to_owned))
            .collect();
        Self { files, names: index.names, pairs: index.pairs, macros: index.macros, shouted, foreign }
    }

    fn has(&self, name: &str) -> bool {
        if is_path(name) {
            return self.has_path(name.trim_end_matches('/'));
        }
        let symbol = name.trim_end_matches("()");
        let parts: Vec<&str> = symbol.split("::").collect();
        if !parts.iter().all(|p| is_ident(p)) {
            return true;
        }
        if parts.len() > 1 {
            return self.foreign.contains(parts[0]) || parts.windows(2).all(|w| self.has_pair(w[0], w[1]));
        }
        let called = name.ends_with("()");
        let typed =
            symbol.starts_with(|c: char| c.is_ascii_uppercase()) && symbol.contains(|c: char| c.is_ascii_lowercase());
        if is_shouted(symbol) && symbol.contains('_') {
            return self.shouted.contains(symbol);
        }
        !(called || typed) || self.has_name(symbol)
    }

    fn has_path(&self, path: &str) -> bool {
        self.files.iter().any(|f| f == path || f.starts_with(&format!("{path}/")) || f.ends_with(&format!("/{path}")))
    }

    fn has_name(&self, name: &str) -> bool {
        WELL_KNOWN.contains(&name) || self.names.contains(name) || self.macros.iter().any(|words| words.contains(name))
    }

    fn has_pair(&self, owner: &str, item: &str) -> bool {
        self.pairs.contains(&(owner.to_owned(), item.to_owned()))
            || self.macros.iter().any(|words| words.contains(owner) && words.contains(item))
    }
}

/// Whether a name claims to be a path of this tree; files of a games or data folder do not.
fn is_path(name: &str) -> bool {
    let first = name.split('/').next().unwrap_or(name);
    !name.contains([' ', '*', '{', '<'])
        && (matches!(first, "crates" | "docs" | "tests" | "scripts" | ".ci") && name.contains('/')
            || [".rs", ".md", ".toml", ".sh"].iter().any(|end| name.ends_with(end)))
}

fn is_ident(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn is_shouted(text: &str) -> bool {
    text.len() > 1
        && text.starts_with(|c: char| c.is_ascii_uppercase())
        && text.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
}

#[derive(Default)]
struct Index {
    names: BTreeSet<String>,
    pairs: BTreeSet<(String, String)>,
    macros: Vec<BTreeSet<String>>,
    /// Who owns what is being visited: the module, then the type.
    owner: String,
}

impl Index {
    fn add_file(&mut self, file: &str) {
        let parsed = syn::parse_file(&tree::read(file)).unwrap_or_else(|e| panic!("{file}: {e}"));
        let parts: Vec<&str> = file.trim_end_matches(".rs").split('/').collect();
        // crates/proto/src/frame.rs is bonfire_proto::frame; crates/peer/src/run/mod.rs is bonfire_peer::run.
        let krate = if parts[0] == "crates" { format!("bonfire_{}", parts[1]) } else { "bonfire_tests".to_owned() };
        let from = parts.iter().position(|p| *p == "src").map_or(parts.len(), |at| at + 1);
        let modules: Vec<&str> =
            parts.iter().skip(from).copied().filter(|p| !matches!(*p, "mod" | "lib" | "main")).collect();
        self.names.insert(krate.clone());
        let mut owner = krate;
        for module in modules {
            self.define(&owner, module);
            module.clone_into(&mut owner);
        }
        self.owner = owner;
        self.macros.push(BTreeSet::new());
        self.visit_file(&parsed);
    }

    fn define(&mut self, owner: &str, name: &str) {
        self.names.insert(name.to_owned());
        self.pairs.insert((owner.to_owned(), name.to_owned()));
    }

    fn within(&mut self, owner: String, visit: impl FnOnce(&mut Self)) {
        let outer = std::mem::replace(&mut self.owner, owner);
        visit(self);
        self.owner = outer;
    }

    fn here(&mut self, ident: &syn::Ident) {
        let owner = self.owner.clone();
        self.define(&owner, &ident.to_string());
    }

    fn exported(&mut self, tree: &syn::UseTree) {
        match tree {
            syn::UseTree::Path(p) => self.exported(&p.tree),
            syn::UseTree::Group(g) => g.items.iter().for_each(|t| self.exported(t)),
            syn::UseTree::Name(n) => self.here(&n.ident),
            syn::UseTree::Rename(r) => self.here(&r.rename),
            syn::UseTree::Glob(_) => {}
        }
    }
}

impl<'ast> Visit<'ast> for Index {
    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        if matches!(item.vis, syn::Visibility::Public(_)) {
            self.exported(&item.tree);
        }
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        self.here(&item.ident);
        self.within(item.ident.to_string(), |me| syn::visit::visit_item_mod(me, item));
    }

    fn visit_item_struct(&mut self, item: &'ast syn::ItemStruct) {
        self.here(&item.ident);
        for field in item.fields.iter().filter_map(|f| f.ident.as_ref()) {
            self.define(&item.ident.to_string(), &field.to_string());
        }
    }

    fn visit_item_enum(&mut self, item: &'ast syn::ItemEnum) {
        self.here(&item.ident);
        for variant in &item.variants {
            self.define(&item.ident.to_string(), &variant.ident.to_string());
        }
    }

    fn visit_item_trait(&mut self, item: &'ast syn::ItemTrait) {
        self.here(&item.ident);
        self.within(item.ident.to_string(), |me| syn::visit::visit_item_trait(me, item));
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        self.here(&item.sig.ident);
    }

    fn visit_trait_item_const(&mut self, item: &'ast syn::TraitItemConst) {
        self.here(&item.ident);
    }

    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        if let syn::Type::Path(path) = &*item.self_ty
            && let Some(last) = path.path.segments.last()
        {
            self.within(last.ident.to_string(), |me| syn::visit::visit_item_impl(me, item));
        }
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.here(&item.sig.ident);
    }

    fn visit_impl_item_const(&mut self, item: &'ast syn::ImplItemConst) {
        self.here(&item.ident);
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.here(&item.sig.ident);
    }

    fn visit_item_const(&mut self, item: &'ast syn::ItemConst) {
        self.here(&item.ident);
    }

    fn visit_item_static(&mut self, item: &'ast syn::ItemStatic) {
        self.here(&item.ident);
    }

    fn visit_item_type(&mut self, item: &'ast syn::ItemType) {
        self.here(&item.ident);
    }

    fn visit_item_macro(&mut self, item: &'ast syn::ItemMacro) {
        if let Some(ident) = &item.ident {
            self.here(ident);
        }
        let text = item.mac.tokens.to_string();
        let words = text.split(|c: char| !(c.is_alphanumeric() || c == '_')).filter(|w| !w.is_empty());
        if let Some(of_file) = self.macros.last_mut() {
            of_file.extend(words.map(str::to_owned));
        }
    }
}
