//! The key of this peer and where it is kept.
//!
//! One Ed25519 key, one self-signed certificate that is a pure function of it, one file `identity.pem` that only its
//! owner can read from the moment it exists. A damaged file is refused and never replaced: the key *is* the peer.

use std::fs;
use std::io::{self, Read, Write};
use std::path::Path;

use bonfire_proto::PeerId;
use rcgen::{CertificateParams, KeyPair, PKCS_ED25519, SerialNumber, date_time_ymd};
use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::error::NetError;
use crate::platform;
use crate::tls::{KeyHash, Proof, proof};

const FILE: &str = "identity.pem";
const FILE_TMP: &str = "identity.pem.tmp";

/// Ours is about 700 bytes.
const FILE_LEN_MAX: u64 = 16 * 1024;

/// PKCS #8 version 1 of an Ed25519 key up to its 32-byte seed.
const PKCS8_HEAD: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

/// Name in the certificate. Nothing checks it; it must not name a person or a machine.
const CERT_NAME: &str = "bonfire.invalid";

/// This peer's key and certificate.
pub struct Identity {
    key: PrivatePkcs8KeyDer<'static>,
    cert: CertificateDer<'static>,
    proof: Proof,
}

impl Clone for Identity {
    fn clone(&self) -> Self {
        Self { key: self.key.clone_key(), cert: self.cert.clone(), proof: self.proof }
    }
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity").field("peer_id", &self.proof.peer_id).finish_non_exhaustive()
    }
}

impl Identity {
    /// Reads `identity.pem` in the data folder, or makes it there when there is none. The caller holds the folder's lock.
    ///
    /// # Errors
    /// When the file cannot be read, written or kept private, or is damaged.
    pub fn load_or_create(data_dir: &Path) -> Result<Self, NetError> {
        let path = data_dir.join(FILE);
        let failed = |doing, source| NetError::IdentityIo { path: path.clone(), doing, source };
        match fs::File::open(&path) {
            Ok(file) => {
                platform::keep_private(&path, &file).map_err(|e| failed("protect", e))?;
                let mut pem = Vec::new();
                file.take(FILE_LEN_MAX + 1).read_to_end(&mut pem).map_err(|e| failed("read", e))?;
                Self::from_pem(&pem).map_err(|why| NetError::IdentityCorrupt { path, why })
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                let identity = Self::generate()?;
                identity.write(data_dir).map_err(|e| failed("write", e))?;
                tracing::info!(peer = %identity.peer_id(), "made a new identity");
                Ok(identity)
            }
            Err(e) => Err(failed("read", e)),
        }
    }

    /// The identity of a seed: the same key and the same certificate, byte for byte, every time. For simulations.
    #[must_use]
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self::build(seed).expect("BUG: every 32 bytes are an Ed25519 seed")
    }

    /// A fresh identity that is not kept anywhere.
    ///
    /// # Errors
    /// When the system has no randomness.
    pub fn generate() -> Result<Self, NetError> {
        let mut seed = [0u8; 32];
        SystemRandom::new()
            .fill(&mut seed)
            .map_err(|_| NetError::Crypto { doing: "make a key", why: "the system gives no randomness".to_owned() })?;
        Self::build(seed)
    }

    /// The id that this identity proves.
    #[must_use]
    pub const fn peer_id(&self) -> PeerId {
        self.proof.peer_id
    }

    /// The whole hash of the public key, for pins.
    #[must_use]
    pub const fn key_hash(&self) -> KeyHash {
        self.proof.key_hash
    }

    /// A secret for `purpose` that is the same after every restart and tells nothing about the key.
    pub(crate) fn derived(&self, purpose: &str) -> [u8; 32] {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.key.secret_pkcs8_der());
        let mut out = [0u8; 32];
        out.copy_from_slice(hmac::sign(&key, purpose.as_bytes()).as_ref());
        out
    }

    /// The certificate, DER.
    #[must_use]
    pub fn cert_der(&self) -> &[u8] {
        &self.cert
    }

    pub(crate) fn chain(&self) -> Vec<CertificateDer<'static>> {
        vec![self.cert.clone()]
    }

    pub(crate) fn key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::Pkcs8(self.key.clone_key())
    }

    fn build(seed: [u8; 32]) -> Result<Self, NetError> {
        let failed = |e: rcgen::Error| NetError::Crypto { doing: "make a certificate", why: e.to_string() };
        let mut der = PKCS8_HEAD.to_vec();
        der.extend_from_slice(&seed);
        let key = PrivatePkcs8KeyDer::from(der);
        let pair = KeyPair::from_pkcs8_der_and_sign_algo(&key, &PKCS_ED25519).map_err(failed)?;
        let mut params = CertificateParams::new(vec![CERT_NAME.to_owned()]).map_err(failed)?;
        // Constant fields: a simulation needs certificates of one length, and nobody checks these.
        params.serial_number = Some(SerialNumber::from(vec![1]));
        params.not_before = date_time_ymd(2000, 1, 1);
        params.not_after = date_time_ymd(2999, 12, 31);
        let cert = params.self_signed(&pair).map_err(failed)?.der().clone();
        let proof =
            proof(&cert).map_err(|e| NetError::Crypto { doing: "read our own certificate", why: e.to_string() })?;
        Ok(Self { key, cert, proof })
    }

    fn from_pem(pem: &[u8]) -> Result<Self, String> {
        if pem.len() as u64 > FILE_LEN_MAX {
            return Err("too long".to_owned());
        }
        let key = PrivatePkcs8KeyDer::from_pem_slice(pem).map_err(|e| format!("no private key: {e}"))?;
        let cert = CertificateDer::from_pem_slice(pem).map_err(|e| format!("no certificate: {e}"))?;
        let seed = key
            .secret_pkcs8_der()
            .strip_prefix(&PKCS8_HEAD)
            .and_then(|s| <[u8; 32]>::try_from(s).ok())
            .ok_or_else(|| "not an Ed25519 key".to_owned())?;
        let identity = Self::build(seed).map_err(|e| e.to_string())?;
        let stored = proof(&cert).map_err(|e| e.to_string())?;
        if stored != identity.proof {
            return Err("key and certificate do not belong together".to_owned());
        }
        Ok(identity)
    }

    fn write(&self, data_dir: &Path) -> io::Result<()> {
        let tmp = data_dir.join(FILE_TMP);
        // Left by a crash before the rename: nobody ever knew this peer by it.
        match fs::remove_file(&tmp) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        let mut file = platform::create_private(&tmp)?;
        file.write_all(pem_block("PRIVATE KEY", self.key.secret_pkcs8_der()).as_bytes())?;
        file.write_all(pem_block("CERTIFICATE", &self.cert).as_bytes())?;
        file.sync_all()?;
        drop(file);
        fs::rename(&tmp, data_dir.join(FILE))?;
        platform::sync_dir(data_dir)
    }
}

fn pem_block(label: &str, der: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in der.chunks(3) {
        let n = group.iter().fold(0u32, |n, b| (n << 8) | u32::from(*b)) << (8 * (3 - group.len()));
        for i in 0..4 {
            let digit = usize::try_from((n >> (18 - 6 * i)) & 63).unwrap_or_default();
            text.push(if i <= group.len() { char::from(DIGITS[digit]) } else { '=' });
        }
    }
    let mut out = format!("-----BEGIN {label}-----\n");
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, tail) = rest.split_at(rest.len().min(64));
        out.push_str(line);
        out.push('\n');
        rest = tail;
    }
    out.push_str(&format!("-----END {label}-----\n"));
    out
}
