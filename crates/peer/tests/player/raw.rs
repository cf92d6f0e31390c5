//! Another end of a connection that does exactly what a test says, and nothing of a peer's own.

use std::net::SocketAddr;

use bonfire_engine::trust::{PairCode, Secret};
use bonfire_net::pairing::{End, type_code};
use bonfire_net::{Answer, Connection, ControlReceiver, ControlSender, Endpoint, Identity};
use bonfire_proto::limits::PROTO_VERSION;
use bonfire_proto::message::{Control, ErrorMsg, Hello, Request, Response};
use bonfire_proto::message_pair::{PairDevice, PairPart};
use bonfire_proto::{DeviceEpoch, Digest, LibraryEpoch, PlayerId};
use tempfile::TempDir;

use crate::seat::patient;

/// Somebody who was let in and is whatever the test makes of it.
pub struct Raw {
    pub endpoint: Endpoint,
    pub connection: Connection,
    _control: (ControlSender, ControlReceiver),
    _dir: TempDir,
}

impl Raw {
    pub async fn connect(to: SocketAddr) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let identity = Identity::load_or_create(dir.path()).unwrap();
        let endpoint = Endpoint::bind(identity, "127.0.0.1:0".parse().unwrap(), patient()).unwrap();
        let connection = endpoint.connect(to, None).await.unwrap();
        let (mut sender, mut receiver) = connection.open_control().await.unwrap();
        let hello = Hello {
            peer_id: endpoint.peer_id(),
            proto_ver: PROTO_VERSION,
            listen_addr: String::new(),
            library_epoch: LibraryEpoch(uuid::Uuid::from_u128(1)),
            library_rev: 0,
            library_digest: Digest([0; 32]),
            features: Default::default(),
            name: "raw".to_owned(),
        };
        sender.send(&Control::Hello(hello)).await.unwrap();
        assert!(matches!(receiver.recv().await.unwrap(), Some(Control::HelloAck(_))));
        Self { endpoint, connection, _control: (sender, receiver), _dir: dir }
    }

    /// Becomes a device of the player whose code this is.
    pub async fn join(&self, code: &str) -> PlayerId {
        let ours = End { peer_id: self.endpoint.peer_id(), key_hash: self.endpoint.key_hash() };
        let secret = Secret::Code(PairCode::parse(code).unwrap());
        let paired = type_code(&self.connection, ours, &secret, PairPart::Joins, [5; 32]).await.unwrap();
        let invitation = paired.invitation().await.unwrap();
        let player = invitation.invite.player.player_id;
        let device = PairDevice {
            peer_id: ours.peer_id,
            key_hash: ours.key_hash.0,
            device_epoch: DeviceEpoch(uuid::Uuid::from_u128(7)),
            name: "raw".to_owned(),
            platform: "linux".to_owned(),
        };
        invitation.accept(device).await.unwrap();
        player
    }

    pub async fn ask(&self, request: &Request) -> Answer {
        self.connection.request(request).await.unwrap()
    }

    /// The refusal that a request meets before anything else.
    pub async fn refused(&self, request: &Request) -> ErrorMsg {
        match self.ask(request).await.next().await.unwrap() {
            Some(Response::Error(error)) => error,
            other => panic!("{request:?} was answered: {other:?}"),
        }
    }
}
