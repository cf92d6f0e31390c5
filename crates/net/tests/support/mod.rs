//! Two peers on loopback, and a stranger who speaks QUIC but not by our rules.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bonfire_net::{Connection, ControlReceiver, ControlSender, Endpoint, Identity, Tuning};
use bonfire_proto::limits::ALPN;
use bonfire_proto::message::Ping;
use bonfire_proto::{Control, PeerId};
use quinn::crypto::rustls::QuicClientConfig;
use rcgen::{KeyPair, SignatureAlgorithm};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};

pub(crate) fn hasty() -> Tuning {
    Tuning {
        handshake_limit: Duration::from_millis(1500),
        progress_limit: Duration::from_millis(300),
        ..Tuning::default()
    }
}

pub(crate) fn peer(seed: u8, listen: &str, tuning: Tuning) -> Endpoint {
    Endpoint::bind(Identity::from_seed([seed; 32]), listen.parse().unwrap(), tuning).unwrap()
}

pub(crate) async fn accepted(by: &Endpoint) -> Connection {
    by.accept().await.unwrap().handshake().await.unwrap()
}

pub(crate) async fn connected(from: &Endpoint, to: &Endpoint) -> (Connection, Connection) {
    let (dialed, accepted) = tokio::join!(from.connect(to.local_addr().unwrap(), None), accepted(to));
    (dialed.unwrap(), accepted)
}

/// A pair of endpoints (to be kept), and the two ends of a connection whose control stream is up.
pub(crate) struct Pair {
    pub(crate) endpoints: (Endpoint, Endpoint),
    pub(crate) dialed: Connection,
    pub(crate) accepted: Connection,
    pub(crate) dialed_control: (ControlSender, ControlReceiver),
    pub(crate) accepted_control: (ControlSender, ControlReceiver),
}

pub(crate) async fn pair(tuning: Tuning) -> Pair {
    let (a, b) = (peer(1, "127.0.0.1:0", tuning.clone()), peer(2, "127.0.0.1:0", tuning));
    let (dialed, accepted) = connected(&a, &b).await;
    let (dialed_control, accepted_control) = tokio::join!(
        async {
            let (mut tx, rx) = dialed.open_control().await.unwrap();
            tx.send(&Control::Ping(Ping {})).await.unwrap();
            (tx, rx)
        },
        async {
            let (tx, mut rx) = accepted.accept_control().await.unwrap();
            assert_eq!(rx.recv().await.unwrap(), Some(Control::Ping(Ping {})));
            (tx, rx)
        }
    );
    Pair { endpoints: (a, b), dialed, accepted, dialed_control, accepted_control }
}

/// Accepts any certificate and checks nothing.
#[derive(Debug)]
pub(crate) struct Gullible;

impl rustls::client::danger::ServerCertVerifier for Gullible {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        unreachable!("QUIC has no TLS 1.2")
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        vec![rustls::SignatureScheme::ED25519, rustls::SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}

pub(crate) struct Stranger {
    pub(crate) alpn: &'static [u8],
    /// Its certificate shows a key of this kind.
    pub(crate) key: Option<&'static SignatureAlgorithm>,
    /// It shows the certificate of this peer, whose key it does not have.
    pub(crate) steals: Option<CertificateDer<'static>>,
}

impl Default for Stranger {
    fn default() -> Self {
        Self { alpn: ALPN, key: Some(&rcgen::PKCS_ED25519), steals: None }
    }
}

impl Stranger {
    pub(crate) async fn dial(self, to: SocketAddr) -> Result<quinn::Connection, quinn::ConnectionError> {
        let endpoint = quinn::Endpoint::client("0.0.0.0:0".parse().unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Gullible));
        let mut config = match self.key {
            None => builder.with_no_client_auth(),
            Some(kind) => {
                let key = KeyPair::generate_for(kind).unwrap();
                let params = rcgen::CertificateParams::new(vec!["stranger".to_owned()]).unwrap();
                let cert = self.steals.unwrap_or_else(|| params.self_signed(&key).unwrap().der().clone());
                let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
                // Past the library's own check that key and certificate belong together.
                let signing = rustls::crypto::ring::sign::any_supported_type(&key).unwrap();
                let certified = rustls::sign::CertifiedKey::new(vec![cert], signing);
                builder.with_client_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(certified)))
            }
        };
        config.alpn_protocols = vec![self.alpn.to_vec()];
        let config = quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(config).unwrap()));
        let connection = endpoint.connect_with(config, to, "stranger").unwrap().await?;
        Ok(connection)
    }
}

/// A stranger whose handshake is by the rules, and our end of the connection, with both control streams up.
pub(crate) async fn with_stranger(tuning: Tuning) -> (Endpoint, Connection, (ControlSender, ControlReceiver), Raw) {
    let ours = peer(2, "127.0.0.1:0", tuning);
    let (accepted, control, raw) = met_by_stranger(&ours).await;
    (ours, accepted, control, raw)
}

/// As `with_stranger`, for an endpoint that there is already.
pub(crate) async fn met_by_stranger(ours: &Endpoint) -> (Connection, (ControlSender, ControlReceiver), Raw) {
    let (theirs, accepted) = tokio::join!(Stranger::default().dial(ours.local_addr().unwrap()), accepted(ours));
    let theirs = theirs.unwrap();
    let (mut tx, rx) = theirs.open_bi().await.unwrap();
    tx.write_all(&framed(br#"{"type":"ping"}"#)).await.unwrap();
    let (ours_tx, mut ours_rx) = accepted.accept_control().await.unwrap();
    assert_eq!(ours_rx.recv().await.unwrap(), Some(Control::Ping(Ping {})));
    (accepted, (ours_tx, ours_rx), Raw { connection: theirs, control: (tx, rx) })
}

pub(crate) struct Raw {
    pub(crate) connection: quinn::Connection,
    pub(crate) control: (quinn::SendStream, quinn::RecvStream),
}

pub(crate) fn framed(body: &[u8]) -> Vec<u8> {
    let mut out = u32::try_from(body.len()).unwrap().to_be_bytes().to_vec();
    out.extend_from_slice(body);
    out
}

pub(crate) fn id_of(seed: u8) -> PeerId {
    Identity::from_seed([seed; 32]).peer_id()
}
