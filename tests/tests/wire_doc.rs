//! `docs/formats/wire.md` is made from the types of the wire and a template; this fails when the page is not what they say.
//!
//! `BLESS=1 cargo test -p bonfire-tests --test wire_doc` rewrites the page.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod tree;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use syn::{Attribute, Expr, Field, Fields, Item, ItemEnum, ItemImpl, ItemStruct, Lit, Type};

const PAGE: &str = "docs/formats/wire.md";
const TEMPLATE: &str = "docs/formats/wire.template.md";
const REWRITE: &str = "BLESS=1 cargo test -p bonfire-tests --test wire_doc";

/// Structs and enums that are parts of messages, by the place on the page that tells of them, in its order.
const PARTS: &[(&str, &[&str])] = &[
    (
        "parts",
        &[
            "LibrarySummary",
            "LibraryDelta",
            "LibrarySnapshot",
            "GameSummary",
            "Availability",
            "ManifestPage",
            "ManifestFile",
        ],
    ),
    ("player_parts", &["SharedEntry", "ChangeType", "Watermark", "StateRecord", "StateMark"]),
    ("record_parts", &["Retention", "SyncMode", "Choice", "PictureFormat"]),
    ("snapshot_parts", &["Snapshot", "SnapshotKind", "SaveEntry", "ObjectRef"]),
    ("pair_parts", &["PairDevice", "PairPlayer", "PairPart", "DeviceRole", "PairRefusal"]),
];

/// Families of messages, with the folder of their examples.
const FAMILIES: &[(&str, &str)] =
    &[("Control", "control"), ("Request", "request"), ("Response", "response"), ("PairMessage", "pair")];

#[test]
fn the_page_says_what_the_types_say() {
    let page = generate(&Types::read());
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(tree::root().join(PAGE), &page).unwrap();
    }
    let stored = std::fs::read_to_string(tree::root().join(PAGE)).unwrap_or_default();
    let first = stored.lines().zip(page.lines()).position(|(a, b)| a != b);
    assert!(
        stored == page,
        "{PAGE} is not what the types say, from line {first:?} (from 0) on; to rewrite it: {REWRITE}"
    );
}

#[test]
fn every_message_field_limit_and_code_is_on_the_page() {
    let types = Types::read();
    let page = generate(&types);
    for (family, name) in FAMILIES {
        for variant in &types.enums[*family].variants {
            let kind = snake(&variant.ident.to_string());
            assert!(page.contains(&format!("### `{kind}`")), "no section for {kind}");
            let example = tree::read(&format!("crates/proto/tests/golden/{name}/{kind}.json"));
            assert!(page.contains(example.trim_end()), "no example of {kind}");
            for field in types.fields(&payload(&variant.fields)) {
                assert!(page.contains(&format!("| `{}` |", field.ident.as_ref().unwrap())));
            }
        }
    }
    for name in &types.limits {
        assert!(page.contains(&format!("`{}`", name.0)), "{} is not on the page", name.0);
    }
    assert!(!page.contains("<!-- generated"), "a part of the template was not filled in");
}

#[test]
fn every_kind_of_record_is_on_the_page() {
    let types = Types::read();
    let page = generate(&types);
    assert!(types.kinds.len() >= 8, "{:?}", types.kinds);
    for (kind, model) in &types.kinds {
        assert!(page.contains(&format!("**`{kind}`**")), "no place for {kind}");
        for field in types.fields(model) {
            assert!(page.contains(&format!("| `{}` |", field.ident.as_ref().unwrap())));
        }
    }
}

#[test]
fn no_link_on_the_page_leads_nowhere() {
    let page = generate(&Types::read());
    let anchors: Vec<String> = page
        .lines()
        .filter_map(|l| l.strip_prefix('#').map(|l| l.trim_start_matches('#').trim()))
        .map(|h| {
            h.to_lowercase()
                .replace(' ', "-")
                .chars()
                .filter(|c| c.is_alphanumeric() || matches!(c, '-' | '_'))
                .collect()
        })
        .collect();
    for link in page.split("](#").skip(1).map(|rest| rest.split(')').next().unwrap()) {
        assert!(anchors.iter().any(|a| a == link), "no heading for #{link}: {anchors:?}");
    }
}

#[test]
fn notices_a_field_that_the_page_does_not_have() {
    let mut types = Types::read();
    let before = generate(&types);
    let more: ItemStruct = syn::parse_str("struct Goodbye { /// Why.\n pub reason: Option<String> }").unwrap();
    types.structs.insert("Goodbye".into(), more);
    let after = generate(&types);
    assert_ne!(before, after);
    assert!(after.contains("| `reason` | text, may be absent | Why. |"), "{after}");
}

#[test]
fn shows_the_fields_of_a_flattened_part_in_the_place_where_they_are() {
    let page = generate(&Types::read());
    let section = page.split("### `shared_change`\n").nth(1).unwrap().split("\n### ").next().unwrap();
    assert!(section.contains("| `player_id` |") && section.contains("| `hlc` |"), "{section}");
    assert!(!section.contains("| `entry` |"), "{section}");
}

/// What the sources of `bonfire-proto` define.
struct Types {
    structs: BTreeMap<String, ItemStruct>,
    enums: BTreeMap<String, ItemEnum>,
    /// Kinds of records, each with the struct that reads it.
    kinds: Vec<(String, String)>,
    /// Name, value, meaning.
    limits: Vec<(String, String, String)>,
    reserved: Vec<String>,
    closes: String,
}

impl Types {
    fn read() -> Self {
        let mut types = Self {
            structs: BTreeMap::new(),
            enums: BTreeMap::new(),
            kinds: Vec::new(),
            limits: Vec::new(),
            reserved: Vec::new(),
            closes: tree::read("crates/proto/src/close.rs"),
        };
        for file in [
            "chunk",
            "limits",
            "message",
            "message_sync",
            "message_save",
            "message_sidecar",
            "message_pair",
            "game",
            "picture",
            "save",
            "error_code",
        ] {
            types.take_all(file, &format!("crates/proto/src/{file}.rs"));
        }
        types.take_all("model", "crates/engine/src/replication/model.rs");
        types
    }

    fn take_all(&mut self, name: &str, path: &str) {
        for item in syn::parse_file(&tree::read(path)).unwrap().items {
            self.take(name, item);
        }
    }

    /// The fields of a struct as they stand in JSON: those of a flattened part in its place.
    fn fields(&self, name: &str) -> Vec<&Field> {
        let all = self.structs[name].fields.iter();
        all.flat_map(|f| if is_flattened(f) { self.fields(&plain(&f.ty)) } else { vec![f] }).collect()
    }

    fn take(&mut self, file: &str, item: Item) {
        match item {
            Item::Struct(s) => {
                self.structs.insert(s.ident.to_string(), s);
            }
            Item::Enum(e) => {
                self.enums.insert(e.ident.to_string(), e);
            }
            Item::Impl(i) if file == "model" => self.kinds.extend(kind_of(&i)),
            Item::Const(c) if c.ident == "RESERVED_ROOT_NAMES" => self.reserved = texts(&c.expr),
            Item::Const(c) if matches!(file, "chunk" | "limits") => {
                self.limits.push((c.ident.to_string(), value(&c.expr), doc(&c.attrs)));
            }
            _ => {}
        }
    }
}

fn generate(types: &Types) -> String {
    let mut page = tree::read(TEMPLATE);
    let mut places: Vec<(&str, String)> =
        FAMILIES.iter().map(|(family, folder)| (*folder, messages(types, family, folder))).collect();
    for (name, parts) in PARTS {
        places.push((name, parts.iter().map(|p| part(types, p)).collect::<Vec<_>>().join("\n\n")));
    }
    places.extend([
        (
            "records",
            types.kinds.iter().map(|(kind, model)| record(types, kind, model)).collect::<Vec<_>>().join("\n\n"),
        ),
        ("snapshot", tree::read("crates/proto/tests/golden/snapshot.json").trim_end().to_owned()),
        ("reserved", types.reserved.iter().map(|r| format!("`{r}`")).collect::<Vec<_>>().join(", ")),
        ("limits", limits(types)),
        ("errors", variants(&types.enums["ErrorCode"], "code")),
        ("closes", closes(&types.closes)),
    ]);
    for (name, text) in places {
        let marker = format!("<!-- generated: {name} -->");
        assert_eq!(page.matches(&marker).count(), 1, "{TEMPLATE} has no single place for {name}");
        page = page.replace(&marker, &text);
    }
    page
}

fn messages(types: &Types, family: &str, folder: &str) -> String {
    let (mut sections, mut first_of) = (Vec::new(), BTreeSet::new());
    for variant in &types.enums[family].variants {
        let kind = snake(&variant.ident.to_string());
        let payload = &types.structs[&payload(&variant.fields)];
        let heading = match folder {
            "response" if types.has_control(&kind) => format!("`{kind}` as an answer"),
            "pair" if types.has_control(&kind) => format!("`{kind}` in a pairing"),
            _ => format!("`{kind}`"),
        };
        // What a shared struct says of itself is about the first message that carries it.
        let own = first_of.insert(payload.ident.to_string());
        let about = format!("{} {}", doc(&variant.attrs), if own { doc(&payload.attrs) } else { String::new() });
        let about = about.trim();
        let mut section = format!("### {heading}\n\n{about}\n\n");
        if !payload.fields.is_empty() {
            section.push_str(&fields(&types.fields(&payload.ident.to_string())));
            section.push('\n');
        }
        for example in examples(folder, &kind) {
            write!(section, "```json\n{example}\n```\n").unwrap();
        }
        sections.push(section.trim_end().to_owned());
    }
    sections.join("\n\n")
}

impl Types {
    fn has_control(&self, kind: &str) -> bool {
        self.enums["Control"].variants.iter().any(|v| snake(&v.ident.to_string()) == kind)
    }
}

/// The golden files of a type: the plain one first, then those of its other shapes.
fn examples(folder: &str, kind: &str) -> Vec<String> {
    let dir = format!("crates/proto/tests/golden/{folder}/");
    tree::files()
        .iter()
        .filter(|f| f.strip_prefix(&dir).and_then(|n| n.split('.').next()) == Some(kind))
        .map(|f| tree::read(f).trim_end().to_owned())
        .collect()
}

fn part(types: &Types, name: &str) -> String {
    if let Some(s) = types.structs.get(name) {
        return format!("### `{name}`\n\n{}\n\n{}", doc(&s.attrs), fields(&types.fields(name)).trim_end());
    }
    let e = &types.enums[name];
    format!("### `{name}`\n\n{} Text, one of:\n\n{}", doc(&e.attrs), variants(e, "value"))
}

/// A kind of record.
fn record(types: &Types, kind: &str, model: &str) -> String {
    let about = doc(&types.structs[model].attrs);
    format!("**`{kind}`**: {about}\n\n{}", fields(&types.fields(model)).trim_end())
}

fn fields(fields: &[&Field]) -> String {
    let mut out = String::from("| field | type | |\n|---|---|---|\n");
    for f in fields {
        let name = f.ident.as_ref().unwrap();
        writeln!(out, "| `{name}` | {} | {} |", rendered(&f.ty), doc(&f.attrs).replace('|', "\\|")).unwrap();
    }
    out
}

/// A type as a reader of JSON sees it.
fn rendered(ty: &Type) -> String {
    let Type::Path(path) = ty else { panic!("a type of the wire is a plain path") };
    let last = path.path.segments.last().unwrap();
    let inner = || match &last.arguments {
        syn::PathArguments::AngleBracketed(a) => match a.args.first().unwrap() {
            syn::GenericArgument::Type(t) => rendered(t),
            _ => panic!("a type of the wire takes types only"),
        },
        _ => panic!("{} takes a type", last.ident),
    };
    match last.ident.to_string().as_str() {
        "u16" => "integer, 16 bits".to_owned(),
        "u32" => "integer, 32 bits".to_owned(),
        "u64" => "integer, 64 bits".to_owned(),
        "i64" => "integer, 64 bits, may be negative".to_owned(),
        "bool" => "true or false".to_owned(),
        "String" => "text".to_owned(),
        "PeerId" => "UUID (see [identity](#identity))".to_owned(),
        "LibraryEpoch" | "DeviceEpoch" | "PlayerId" | "Uuid" => "UUID".to_owned(),
        "Digest" | "ManifestHash" | "ContentHash" | "SnapshotId" | "SaveHash" => "64 lower-case hex digits".to_owned(),
        "PakeMessage" => "66 lower-case hex digits".to_owned(),
        "TokenName" => "4 digits and upper-case letters".to_owned(),
        "Hlc" => "[time](#times)".to_owned(),
        "RecordData" => "[object](#records)".to_owned(),
        "SlotName" => "[slot name](#snapshots-and-objects)".to_owned(),
        "GameId" => "[game id](#paths)".to_owned(),
        "RelPath" => "[path](#paths)".to_owned(),
        "ErrorCode" => "[error code](#error-codes)".to_owned(),
        "Option" => format!("{}, may be absent", inner()),
        "Vec" => format!("list of {}", inner()),
        "BTreeSet" => format!("list of {}, no duplicates", inner()),
        part if PARTS.iter().any(|(_, parts)| parts.contains(&part)) => format!("[`{part}`](#{})", part.to_lowercase()),
        other => panic!("say in wire_doc.rs how {other} looks on the wire"),
    }
}

fn variants(e: &ItemEnum, column: &str) -> String {
    let mut out = format!("| {column} | |\n|---|---|\n");
    for v in &e.variants {
        writeln!(out, "| `{}` | {} |", snake(&v.ident.to_string()), doc(&v.attrs)).unwrap();
    }
    out.trim_end().to_owned()
}

fn limits(types: &Types) -> String {
    let mut out = String::from("| name in the code | value | |\n|---|---|---|\n");
    for (name, value, about) in &types.limits {
        writeln!(out, "| `{name}` | {value} | {about} |").unwrap();
    }
    out.trim_end().to_owned()
}

/// The table inside the `close_codes!` call, read line by line.
fn closes(source: &str) -> String {
    let mut out = String::from("| code | name | |\n|---|---|---|\n");
    let mut about = Vec::new();
    for line in source.split("\nclose_codes! {").nth(1).unwrap().lines().map(str::trim) {
        if let Some(text) = line.strip_prefix("///") {
            about.push(text.trim());
        } else if let Some((name, rest)) = line.split_once(" = ") {
            let number = rest.split(',').next().unwrap();
            writeln!(out, "| {number} | `{name}` | {} |", about.join(" ")).unwrap();
            about.clear();
        }
    }
    out.trim_end().to_owned()
}

/// The struct that a message of one unnamed field carries.
fn payload(fields: &Fields) -> String {
    match fields {
        Fields::Unnamed(f) if f.unnamed.len() == 1 => plain(&f.unnamed[0].ty),
        _ => panic!("a message carries one struct"),
    }
}

/// The name of a type that is a plain path.
fn plain(ty: &Type) -> String {
    match ty {
        Type::Path(p) => p.path.segments.last().unwrap().ident.to_string(),
        _ => panic!("a type of the wire is a plain path"),
    }
}

fn is_flattened(field: &Field) -> bool {
    let says = |a: &Attribute| match &a.meta {
        syn::Meta::List(list) => list.path.is_ident("serde") && list.tokens.to_string().contains("flatten"),
        _ => false,
    };
    field.attrs.iter().any(says)
}

/// The kind that `impl Model for ..` names; the one that is no literal is the registry's.
fn kind_of(item: &ItemImpl) -> Option<(String, String)> {
    let (_, of, _) = item.trait_.as_ref()?;
    if !of.is_ident("Model") {
        return None;
    }
    let name = item.items.iter().find_map(|i| match i {
        syn::ImplItem::Const(c) if c.ident == "TYPE" => Some(&c.expr),
        _ => None,
    })?;
    let kind = match name {
        Expr::Lit(_) => value(name).trim_matches('`').to_owned(),
        _ => "device".to_owned(),
    };
    Some((kind, plain(&item.self_ty)))
}

fn doc(attrs: &[Attribute]) -> String {
    let line = |a: &Attribute| match &a.meta {
        syn::Meta::NameValue(nv) if nv.path.is_ident("doc") => match &nv.value {
            Expr::Lit(l) => match &l.lit {
                Lit::Str(s) => Some(s.value().trim().to_owned()),
                _ => None,
            },
            _ => None,
        },
        _ => None,
    };
    attrs.iter().filter_map(line).collect::<Vec<_>>().join(" ").trim().to_owned()
}

fn snake(name: &str) -> String {
    let mut out = String::new();
    for c in name.chars() {
        if c.is_uppercase() && !out.is_empty() {
            out.push('_');
        }
        out.extend(c.to_lowercase());
    }
    out
}

fn texts(expr: &Expr) -> Vec<String> {
    match expr {
        Expr::Reference(r) => texts(&r.expr),
        Expr::Array(a) => a.elems.iter().flat_map(texts).collect(),
        Expr::Lit(l) => match &l.lit {
            Lit::Str(s) => vec![s.value()],
            _ => panic!("a list of texts"),
        },
        _ => panic!("a list of texts"),
    }
}

fn value(expr: &Expr) -> String {
    match expr {
        Expr::Lit(l) => match &l.lit {
            Lit::Str(s) => return format!("`{}`", s.value()),
            Lit::ByteStr(s) => return format!("`{}`", String::from_utf8(s.value()).unwrap()),
            _ => {}
        },
        Expr::Reference(r) => return value(&r.expr),
        _ => {}
    }
    grouped(number(expr))
}

fn number(expr: &Expr) -> u64 {
    match expr {
        Expr::Lit(l) => match &l.lit {
            Lit::Int(i) => i.base10_parse().unwrap(),
            _ => panic!("a limit is a number"),
        },
        Expr::Paren(p) => number(&p.expr),
        Expr::Binary(b) => match b.op {
            syn::BinOp::Shl(_) => number(&b.left) << number(&b.right),
            syn::BinOp::Mul(_) => number(&b.left) * number(&b.right),
            _ => panic!("teach wire_doc.rs this operator"),
        },
        _ => panic!("a limit is a constant expression"),
    }
}

/// 1048576 as 1,048,576.
fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}
