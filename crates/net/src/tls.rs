//! TLS: 1.3 only, both sides show a certificate, the certificate yields an identity and nothing else.
//!
//! Any well-formed Ed25519 certificate is accepted once its owner signed the handshake with the key in it. Names, dates
//! and issuers are not looked at; who may do what is decided after the handshake, by others. A dialler may pin whom it
//! expects, and then anyone else fails inside the handshake.

use std::fmt;
use std::sync::{Arc, OnceLock};

use bonfire_proto::limits::ALPN;
use bonfire_proto::{Digest, PeerId};
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::NoServerSessionStorage;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError as TlsCertificateError, DigitallySignedStruct, DistinguishedName, SignatureScheme};

use crate::error::NetError;
use crate::identity::Identity;

/// Ours is about 330 bytes.
const CERT_LEN_MAX: usize = 4096;

/// The one DER form of an Ed25519 public key, up to its 32 bytes.
const SPKI_HEAD: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// SHA-256 of a public key (SPKI DER): the whole of what a `PeerId` is cut from. Pins keep this.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyHash(pub Digest);

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyHash({})", self.0.short())
    }
}

/// Why a certificate is not a peer's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// The connection has none, or more than one.
    #[error("{0} certificates instead of one")]
    Count(usize),
    /// Longer than any of ours.
    #[error("certificate of {0} bytes")]
    TooLong(usize),
    /// Not X.509.
    #[error("malformed certificate: {0}")]
    Malformed(String),
    /// Another kind of key.
    #[error("not an Ed25519 key")]
    NotEd25519,
}

/// What a certificate proves once its owner signed with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Proof {
    pub(crate) peer_id: PeerId,
    pub(crate) key_hash: KeyHash,
}

/// Whom a dialler expects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expect {
    Anyone,
    Peer(PeerId),
    Key(KeyHash),
}

impl Expect {
    fn accepts(self, proof: &Proof) -> bool {
        match self {
            Self::Anyone => true,
            Self::Peer(id) => id == proof.peer_id,
            Self::Key(hash) => hash == proof.key_hash,
        }
    }
}

/// The id that a certificate (DER) proves.
///
/// # Errors
/// When it is not a peer's.
pub fn proven_peer_id(cert_der: &[u8]) -> Result<PeerId, CertificateError> {
    proof(cert_der).map(|p| p.peer_id)
}

/// The whole hash of the key in a certificate (DER).
///
/// # Errors
/// When it is not a peer's.
pub fn proven_key_hash(cert_der: &[u8]) -> Result<KeyHash, CertificateError> {
    proof(cert_der).map(|p| p.key_hash)
}

pub(crate) fn proof(cert_der: &[u8]) -> Result<Proof, CertificateError> {
    if cert_der.len() > CERT_LEN_MAX {
        return Err(CertificateError::TooLong(cert_der.len()));
    }
    let der = CertificateDer::from(cert_der);
    let cert = webpki::EndEntityCert::try_from(&der).map_err(|e| CertificateError::Malformed(e.to_string()))?;
    let spki = cert.subject_public_key_info();
    // Exactly one encoding: otherwise one key could prove several ids.
    if spki.len() != SPKI_HEAD.len() + 32 || !spki.starts_with(&SPKI_HEAD) {
        return Err(CertificateError::NotEd25519);
    }
    let mut hash = [0u8; 32];
    hash.copy_from_slice(ring::digest::digest(&ring::digest::SHA256, &spki).as_ref());
    Ok(Proof { peer_id: PeerId::from_spki_der(&spki), key_hash: KeyHash(Digest(hash)) })
}

/// The one certificate of a connection's other side.
pub(crate) fn proof_of_chain(chain: &[CertificateDer<'_>]) -> Result<Proof, CertificateError> {
    match chain {
        [one] => proof(one),
        other => Err(CertificateError::Count(other.len())),
    }
}

/// The dialler's side, and where to read whom it met when the pin did not fit.
pub(crate) fn client(
    identity: &Identity,
    expect: Expect,
) -> Result<(QuicClientConfig, Arc<OnceLock<Proof>>), NetError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let met = Arc::new(OnceLock::new());
    let verifier = Verifier { algorithms: provider.signature_verification_algorithms, expect, met: met.clone() };
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(tls_failed)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_client_auth_cert(identity.chain(), identity.key())
        .map_err(tls_failed)?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.enable_sni = false;
    // A resumed session shows no certificate; a handshake on a LAN costs a millisecond.
    config.resumption = Resumption::disabled();
    let config =
        QuicClientConfig::try_from(config).map_err(|e| NetError::Crypto { doing: "set up TLS", why: e.to_string() })?;
    Ok((config, met))
}

/// The listener's side.
pub(crate) fn server(identity: &Identity) -> Result<QuicServerConfig, NetError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = Verifier {
        algorithms: provider.signature_verification_algorithms,
        expect: Expect::Anyone,
        met: Arc::new(OnceLock::new()),
    };
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(tls_failed)?
        .with_client_cert_verifier(Arc::new(verifier))
        .with_single_cert(identity.chain(), identity.key())
        .map_err(tls_failed)?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    QuicServerConfig::try_from(config).map_err(|e| NetError::Crypto { doing: "set up TLS", why: e.to_string() })
}

fn tls_failed(e: rustls::Error) -> NetError {
    NetError::Crypto { doing: "set up TLS", why: e.to_string() }
}

#[derive(Debug)]
struct Verifier {
    algorithms: WebPkiSupportedAlgorithms,
    expect: Expect,
    met: Arc<OnceLock<Proof>>,
}

impl Verifier {
    fn verify(&self, cert: &CertificateDer<'_>, others: &[CertificateDer<'_>]) -> Result<(), rustls::Error> {
        let refused = |e: CertificateError| {
            tracing::debug!(error = %e, "refused a certificate");
            rustls::Error::InvalidCertificate(TlsCertificateError::BadEncoding)
        };
        if !others.is_empty() {
            return Err(refused(CertificateError::Count(1 + others.len())));
        }
        let proof = proof(cert).map_err(refused)?;
        if self.expect.accepts(&proof) {
            return Ok(());
        }
        // Read by `Endpoint::connect` to say whom it met; a second call in one handshake cannot be.
        let _first = self.met.set(proof);
        Err(rustls::Error::InvalidCertificate(TlsCertificateError::ApplicationVerificationFailure))
    }

    fn signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }
}

const NO_TLS12: rustls::Error = rustls::Error::PeerIncompatible(rustls::PeerIncompatible::Tls13RequiredForQuic);

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.verify(end_entity, intermediates).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(NO_TLS12)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }
}

impl ClientCertVerifier for Verifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        self.verify(end_entity, intermediates).map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(NO_TLS12)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }
}
