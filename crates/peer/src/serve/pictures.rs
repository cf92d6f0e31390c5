//! Answers what other devices ask for of pictures: the bytes of one. Whether it may be had, and which file it is, the engine
//! says for each request.

use bonfire_engine::input::Input;
use bonfire_engine::sidecars::work::SidecarInput;
use bonfire_net::{NetError, Reply};
use bonfire_proto::ErrorCode;
use bonfire_proto::message::{Chunk, ErrorMsg, Request, Response};
use bonfire_proto::message_sidecar::GetSidecar;
use bytes::Bytes;
use tokio::sync::oneshot;

use super::{Asker, Server, refuse};
use crate::conns;
use crate::task::Event;

impl Server {
    pub(super) async fn picture(
        &self,
        asker: &Asker,
        request: &Request,
        r: &GetSidecar,
        reply: &mut Reply,
    ) -> Result<(), NetError> {
        let leave = self.leave(asker).await;
        if let Err(refusal) = self.may_ask(asker, request) {
            return refuse(reply, refusal).await;
        }
        let (ask, answer) = oneshot::channel();
        conns::send(&self.events, Event::Picture(asker.proven, r.clone(), ask)).await;
        let sidecar = match answer.await {
            Ok(Ok(sidecar)) => sidecar,
            Ok(Err(refusal)) => return refuse(reply, refusal).await,
            Err(_) => return refuse(reply, ErrorMsg::new(ErrorCode::Busy, "shutting down")).await,
        };
        match self.pictures.read(sidecar).await {
            Ok(Some(bytes)) => {
                let chunk = Chunk { index: 0, len: sidecar.picture.len, hash: sidecar.picture.hash };
                reply.send(&Response::Chunk(chunk)).await?;
                reply.send_bytes(Bytes::from(bytes)).await?;
                drop(leave);
                Ok(())
            }
            Ok(None) => {
                let lost = SidecarInput::Lost(r.player_id, vec![sidecar]);
                conns::send(&self.events, Event::Input(Input::Sidecar(lost))).await;
                refuse(reply, ErrorMsg::new(ErrorCode::NotFound, "no such picture here")).await
            }
            Err(error) => {
                tracing::warn!("a picture cannot be served: {error}");
                refuse(reply, ErrorMsg::new(ErrorCode::Internal, "it cannot be read")).await
            }
        }
    }
}
