//! Pieces, objects, snapshots, and what removes them.

use std::fs;

use bonfire_proto::{ObjectRef, Snapshot};

use super::{Place, capture, files, hash, lineage, noise, snapshot};
use crate::saves::{CONTENT, Cutter, LISTS, SaveError, Why};

fn pieces(bytes: &[u8], step: usize) -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    let mut take = |p: &[u8]| {
        out.push(p.to_vec());
        Ok::<(), ()>(())
    };
    let mut cutter = Cutter::new(LISTS);
    for part in bytes.chunks(step) {
        cutter.push(part, &mut take).unwrap();
    }
    cutter.finish(&mut take).unwrap();
    out
}

#[test]
fn cuts_do_not_depend_on_how_a_stream_arrives() {
    let bytes = noise(700_000, 1);
    let whole = pieces(&bytes, bytes.len());
    assert_eq!(whole.concat(), bytes);
    assert!(whole.len() > 10);
    assert!(whole.iter().all(|p| p.len() <= LISTS.max));
    assert!(whole[..whole.len() - 1].iter().all(|p| p.len() >= LISTS.min));
    for step in [1, 7, 4_096, 65_536, 65_537] {
        assert_eq!(pieces(&bytes, step), whole, "{step}");
    }
    assert!(pieces(b"", 1).is_empty());
    assert_eq!(pieces(b"x", 1), [b"x"]);
}

#[test]
fn a_byte_put_in_front_changes_few_pieces() {
    let bytes = noise(1 << 20, 2);
    let longer = [b"!".as_slice(), &bytes].concat();
    let (before, after) = (pieces(&bytes, 4_096), pieces(&longer, 4_096));
    let new = after.iter().filter(|p| !before.contains(p)).count();
    assert!(new <= 2, "{new} of {}", after.len());
}

#[test]
fn what_is_put_is_read_again_and_is_an_ordinary_zstd_frame_under_its_hash() {
    let place = Place::new();
    let store = place.store();
    let mut batch = store.batch(&store.lease());
    let big = noise(CONTENT.max, 3);
    let refs: Vec<ObjectRef> =
        [b"hello".as_slice(), &[0; 100_000], &big].iter().map(|b| batch.put(b).unwrap()).collect();
    assert_eq!(store.missing_objects(refs.clone()).unwrap().len(), 3, "not there before the commit");
    batch.commit().unwrap();
    assert!(store.missing_objects(refs.clone()).unwrap().is_empty());
    assert_eq!(store.read_object(&refs[0]).unwrap(), b"hello");
    assert_eq!(store.read_object(&refs[2]).unwrap(), big);
    assert_eq!(place.objects().len(), 3);
    for at in place.objects() {
        let plain = zstd::decode_all(fs::File::open(&at).unwrap()).unwrap();
        assert_eq!(at.file_name().unwrap().to_str().unwrap(), hash(&plain).to_string());
        assert!(at.parent().unwrap().ends_with(&hash(&plain).to_string()[..2]));
    }
}

#[test]
fn many_objects_are_put_without_many_open_files() {
    let place = Place::new();
    let store = place.store();
    let mut batch = store.batch(&store.lease());
    let refs: Vec<ObjectRef> = (0..300u32).map(|n| batch.put(&n.to_le_bytes()).unwrap()).collect();
    batch.commit().unwrap();
    assert!(store.missing_objects(refs).unwrap().is_empty());
    assert_eq!(place.objects().len(), 300);
}

#[test]
fn an_object_that_is_there_is_not_written_again() {
    let place = Place::new();
    let store = place.store();
    let put = |store: &crate::saves::SaveStore| {
        let mut batch = store.batch(&store.lease());
        batch.put(b"twice").unwrap();
        batch.put(b"twice").unwrap();
        let new = batch.new_objects().0;
        batch.commit().unwrap();
        new
    };
    assert_eq!((put(&store), put(&store), put(&place.store())), (1, 0, 0));
}

#[test]
fn a_batch_that_is_given_up_leaves_nothing_and_so_does_a_killed_one() {
    let place = Place::new();
    let store = place.store();
    let mut batch = store.batch(&store.lease());
    batch.put(b"given up").unwrap();
    drop(batch);
    assert!(place.objects().is_empty());
    let mut batch = store.batch(&store.lease());
    batch.put(b"killed").unwrap();
    std::mem::forget(batch);
    assert_eq!(place.objects().len(), 1);
    drop(place.store());
    assert!(place.objects().is_empty());
}

#[test]
fn an_object_never_unpacks_to_more_than_was_announced_and_is_checked() {
    let place = Place::new();
    let store = place.store();
    let mut batch = store.batch(&store.lease());
    let object = batch.put(&[7; 1000]).unwrap();
    batch.commit().unwrap();
    let at = &place.objects()[0];
    let why = |object: &ObjectRef| match store.read_object(object) {
        Err(SaveError::Damaged { why, .. }) => Some(why),
        Ok(_) => None,
        Err(e) => panic!("{e}"),
    };
    assert_eq!(why(&ObjectRef { len: 999, ..object }), Some(Why::Length));
    assert_eq!(why(&ObjectRef { len: 1001, ..object }), Some(Why::Length));
    // A bomb in its place: a few hundred bytes that would become a gigabyte.
    fs::write(at, zstd::bulk::compress(&vec![7; 64 << 20], 3).unwrap()).unwrap();
    assert_eq!(why(&object), Some(Why::Length));
    fs::write(at, zstd::bulk::compress(&[8; 1000], 3).unwrap()).unwrap();
    assert_eq!(why(&object), Some(Why::Hash));
    fs::write(at, b"no frame").unwrap();
    assert_eq!(why(&object), Some(Why::Length));
    assert!(store.forget_damaged(&object).unwrap());
    assert_eq!(why(&object), Some(Why::Absent));
    let wrong = store.batch(&store.lease()).put_expected(&object, &[8; 1000]);
    assert!(matches!(wrong, Err(SaveError::WrongBytes(_))), "{wrong:?}");
}

#[test]
fn a_snapshot_without_its_objects_is_refused_and_they_are_named() {
    let (here, there) = (Place::new(), Place::new());
    here.write("a", b"alpha");
    here.write("b", b"beta");
    let store = here.store();
    let bytes = capture(&store, &[here.root()]).snapshot(lineage(1, vec![])).to_bytes().unwrap();
    let other = there.store();
    let Err(SaveError::MissingObjects { missing, .. }) = other.put_snapshot(&bytes) else { panic!("taken") };
    assert_eq!(missing.len(), 2);
    assert!(other.snapshot_ids().unwrap().is_empty());
    let snapshot = Snapshot::from_bytes(&bytes).unwrap();
    assert_eq!(other.missing_for(&snapshot).unwrap(), missing);
    let lease = other.lease();
    for object in missing {
        let mut batch = other.batch(&lease);
        batch.put_expected(&object, &store.read_object(&object).unwrap()).unwrap();
        batch.commit().unwrap();
    }
    let id = other.put_snapshot(&bytes).unwrap();
    assert_eq!(other.put_snapshot(&bytes).unwrap(), id, "again changes nothing");
    assert_eq!(other.snapshot_ids().unwrap(), [id]);
    assert_eq!(other.snapshot_bytes(&id).unwrap(), bytes);
    let on_disk = fs::read(there.data.join(format!("snapshots/{id}.json"))).unwrap();
    assert_eq!(hash(&on_disk), id.0, "b3sum of the file is its name");
}

#[test]
fn a_long_list_of_files_is_kept_as_objects_and_versions_share_most_of_it() {
    let place = Place::new();
    let store = place.store();
    for n in 0..400 {
        place.write(&format!("world/chunk-{n:04}.dat"), format!("chunk {n}").as_bytes());
    }
    let first = capture(&store, &[place.root()]);
    assert!(first.list.len() > 1, "{}", first.list.len());
    let id = store.put_snapshot(&first.snapshot(lineage(1, vec![])).to_bytes().unwrap()).unwrap();
    let snapshot = store.snapshot(&id).unwrap();
    assert!(snapshot.entries.is_empty());
    assert_eq!(store.entries(&snapshot).unwrap(), first.entries);
    place.write("world/chunk-0399.dat", b"changed");
    let second = capture(&store, &[place.root()]);
    let shared = second.list.iter().filter(|o| first.list.contains(o)).count();
    assert!(shared + 2 >= second.list.len(), "{shared} of {}", second.list.len());
}

#[test]
fn history_is_read_from_the_store_alone_and_a_damaged_snapshot_is_named() {
    let place = Place::new();
    let store = place.store();
    place.write("a", b"1");
    let one = snapshot(&store, &[place.root()], 1);
    place.write("a", b"2");
    let two = snapshot(&store, &[place.root()], 2);
    let found: Vec<_> = store.rebuild().unwrap().collect();
    assert_eq!(found.len(), 2);
    assert!(found.iter().all(|f| f.snapshot.is_ok() && [one, two].contains(&f.id)));
    fs::write(place.data.join(format!("snapshots/{one}.json")), b"{}").unwrap();
    let bad = store.rebuild().unwrap().filter(|f| f.snapshot.is_err()).map(|f| f.id).collect::<Vec<_>>();
    assert_eq!(bad, [one]);
}

#[test]
fn verifying_names_every_file_that_cannot_be_had() {
    let place = Place::new();
    let store = place.store();
    place.write("good", b"good");
    place.write("bad", b"bad");
    place.write("same-as-bad", b"bad");
    place.write("large", &noise(3 << 20, 4));
    let id = snapshot(&store, &[place.root()], 1);
    let report = store.verify(&id, &|| true).unwrap();
    assert!(report.bad.is_empty() && report.files == 4 && report.bytes >= 3 << 20, "{report:?}");
    let bad = place.data.join("objects").join(&hash(b"bad").to_string()[..2]).join(hash(b"bad").to_string());
    fs::write(bad, b"x").unwrap();
    let report = store.verify(&id, &|| true).unwrap();
    let paths: Vec<&str> = report.bad.iter().map(|b| b.path.as_str()).collect();
    assert_eq!(paths, ["save/bad", "save/same-as-bad"]);
}

#[test]
fn a_sweep_removes_what_no_remaining_snapshot_needs_and_nothing_else() {
    let place = Place::new();
    let store = place.store();
    place.write("kept", b"in both");
    place.write("a", b"only in one");
    let one = snapshot(&store, &[place.root()], 1);
    place.write("a", b"only in two");
    let two = snapshot(&store, &[place.root()], 2);
    assert!(store.mark().unwrap().is_empty());
    assert_eq!(store.remove_snapshots(&[one]).unwrap(), 1);
    assert_eq!(store.remove_snapshots(&[one]).unwrap(), 0);
    let report = store.sweep(store.mark().unwrap()).unwrap();
    assert_eq!((report.removed, report.spared), (1, 0));
    assert!(store.verify(&two, &|| true).unwrap().bad.is_empty());
    assert_eq!(place.objects().len(), 2);
}

#[test]
fn a_sweep_spares_what_came_to_be_needed_between_its_looks() {
    let place = Place::new();
    let store = place.store();
    place.write("a", b"old");
    let one = snapshot(&store, &[place.root()], 1);
    store.remove_snapshots(&[one]).unwrap();
    let marked = store.mark().unwrap();
    assert_eq!(marked.len(), 1);
    // The same content again, put as a snapshot: found in the store, so not written.
    let two = snapshot(&store, &[place.root()], 2);
    assert_eq!(store.sweep(marked).unwrap().spared, 1);
    assert!(store.verify(&two, &|| true).unwrap().bad.is_empty());

    store.remove_snapshots(&[two]).unwrap();
    let marked = store.mark().unwrap();
    let captured = capture(&store, &[place.root()]);
    assert_eq!(store.sweep(marked.clone()).unwrap().spared, 1, "a capture that is no snapshot yet holds it");
    drop(captured);
    assert_eq!(store.sweep(marked).unwrap().removed, 1);
}

#[test]
fn a_sweep_does_nothing_while_a_snapshot_cannot_be_read() {
    let place = Place::new();
    let store = place.store();
    place.write("a", b"x");
    let id = snapshot(&store, &[place.root()], 1);
    fs::write(place.data.join(format!("snapshots/{id}.json")), b"damaged").unwrap();
    assert!(matches!(store.mark(), Err(SaveError::Damaged { .. })));
    assert_eq!(files(&place.data.join("objects")).len(), 1);
}
