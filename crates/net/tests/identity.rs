//! The identity file: private from its first moment, stable, and refused when damaged.
#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::fs;

use bonfire_engine::ErrorClass;
use bonfire_net::{Identity, NetError, proven_key_hash, proven_peer_id};

#[test]
fn is_made_once_and_stays_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let first = Identity::load_or_create(dir.path()).unwrap();
    let before = fs::read(dir.path().join("identity.pem")).unwrap();
    let second = Identity::load_or_create(dir.path()).unwrap();
    assert_eq!(first.peer_id(), second.peer_id());
    assert_eq!(first.cert_der(), second.cert_der());
    assert_eq!(before, fs::read(dir.path().join("identity.pem")).unwrap());
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "no scratch is left");
    let other = tempfile::tempdir().unwrap();
    assert_ne!(Identity::load_or_create(other.path()).unwrap().peer_id(), first.peer_id());
}

#[test]
fn is_made_in_spite_of_scratch_that_a_crash_left() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("identity.pem.tmp"), "half").unwrap();
    Identity::load_or_create(dir.path()).unwrap();
    assert!(!dir.path().join("identity.pem.tmp").exists());
}

#[cfg(unix)]
#[test]
fn is_closed_to_others_and_closed_again_when_it_was_opened() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("identity.pem");
    let mode = || fs::metadata(&path).unwrap().permissions().mode() & 0o777;
    let id = Identity::load_or_create(dir.path()).unwrap().peer_id();
    assert_eq!(mode(), 0o600);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(Identity::load_or_create(dir.path()).unwrap().peer_id(), id);
    assert_eq!(mode(), 0o600);
}

#[test]
fn is_refused_when_damaged_and_never_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("identity.pem");
    Identity::load_or_create(dir.path()).unwrap();
    let whole = fs::read_to_string(&path).unwrap();
    let key_only = whole.split("-----BEGIN CERTIFICATE").next().unwrap().to_owned();
    let other = tempfile::tempdir().unwrap();
    Identity::load_or_create(other.path()).unwrap();
    let foreign = fs::read_to_string(other.path().join("identity.pem")).unwrap();
    let mixed = format!("{key_only}-----BEGIN CERTIFICATE{}", foreign.split("-----BEGIN CERTIFICATE").nth(1).unwrap());
    let long = "x".repeat(1 << 20);
    for damaged in ["", "nonsense", &whole[..whole.len() / 3], &key_only, &mixed, &long] {
        fs::write(&path, damaged).unwrap();
        let error = Identity::load_or_create(dir.path()).unwrap_err();
        assert!(matches!(error, NetError::IdentityCorrupt { .. }), "{error}");
        assert_eq!(error.class(), ErrorClass::Corruption);
        assert!(!error.is_retryable());
        let text = error.to_string();
        assert!(text.contains("identity.pem") && text.contains("restore it from a backup"), "{text}");
        assert_eq!(fs::read_to_string(&path).unwrap(), damaged, "left as it was");
    }
    fs::write(&path, &whole).unwrap();
    Identity::load_or_create(dir.path()).unwrap();
}

#[test]
fn of_a_seed_is_the_same_byte_for_byte() {
    let (a, b, c) = (Identity::from_seed([7; 32]), Identity::from_seed([7; 32]), Identity::from_seed([8; 32]));
    assert_eq!(a.cert_der(), b.cert_der());
    assert_ne!(a.peer_id(), c.peer_id());
    assert_eq!(a.cert_der().len(), c.cert_der().len(), "one length, so that simulations send packets of one size");
}

#[test]
fn is_what_the_certificate_proves() {
    let identity = Identity::from_seed([7; 32]);
    assert_eq!(proven_peer_id(identity.cert_der()).unwrap(), identity.peer_id());
    let hash = proven_key_hash(identity.cert_der()).unwrap();
    assert_eq!(hash, identity.key_hash());
    assert_eq!(hash.0.0[..6], identity.peer_id().as_uuid().as_bytes()[..6], "the id is cut from the hash");
    assert_eq!(identity.peer_id().as_uuid().get_version_num(), 8);
}

#[test]
fn no_bytes_are_a_proof_but_a_certificate() {
    let cert = Identity::from_seed([7; 32]).cert_der().to_vec();
    for cut in 0..cert.len() {
        assert!(proven_peer_id(&cert[..cut]).is_err());
    }
    let rsa_like = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let other = rcgen::CertificateParams::new(vec![]).unwrap().self_signed(&rsa_like).unwrap();
    assert!(proven_peer_id(other.der()).is_err());
    assert!(proven_peer_id(&vec![0x30; 1 << 20]).is_err());
}
