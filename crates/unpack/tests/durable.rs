//! What was unpacked is there after a crash, on a model disk that loses everything that was not synced.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod archives;

use std::sync::Arc;

use archives::{Form, Item, build, file, folder};
use bonfire_disk::fs::{Fs as _, FsPath};
use bonfire_testkit::model_disk::{Disk, ModelFs};
use bonfire_unpack::place::BULK_SYNC_FROM;
use bonfire_unpack::{Limits, Place, Staging, Unattended};

fn unpack_and_crash(items: &[Item], bulk: bool) -> usize {
    let fs = Arc::new(ModelFs::over(Disk::new(), bulk));
    let staging = FsPath::root().child("staging");
    fs.create_dir(&staging).unwrap();
    fs.sync_dir(&FsPath::root()).unwrap();
    let place: Arc<dyn Place> = Arc::new(Staging::without_thread(fs.clone(), staging));
    let archive = archives::archive(&build(Form::Zip, items)).unwrap();
    bonfire_unpack::extract(&[archive], &Limits::default(), place, Arc::new(Unattended)).unwrap();
    let disk = fs.disk();
    for way in 0..disk.crash_count() {
        let after = disk.crashed(way);
        for item in items {
            let path = format!("staging/{}", item.name);
            match item.is {
                archives::Is::File => {
                    let body = after.seen().file(&path).unwrap_or_else(|| panic!("{path} is lost")).to_vec();
                    assert_eq!(body, item.body, "{path}");
                }
                _ => assert!(after.seen().node(&path).is_some(), "{path} is lost"),
            }
        }
    }
    disk.crash_count()
}

#[test]
fn what_was_said_to_be_out_survives_a_crash_whether_synced_one_by_one_or_at_once() {
    let few = [folder("empty"), file("a/b/c", b"deep"), file("d", b""), file("a/e", &[7; 70_000])];
    assert_eq!(unpack_and_crash(&few, false), 1);
    if cfg!(target_os = "linux") {
        let many: Vec<Item> = (0..BULK_SYNC_FROM + 5).map(|n| file(&format!("f{}/{n}", n % 3), &[1; 100])).collect();
        assert_eq!(unpack_and_crash(&many, true), 1);
    }
}
