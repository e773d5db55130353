//! A controller behind its listener.
//!
//! In:  frames of brokers and of other controllers. Out: the answers of the [`Controller`], in the order of the requests;
//!      its own requests to the other controllers.

use std::collections::BTreeMap;

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::{RequestKind, ResponseKind};

use crate::controller::{
    Controller, ControllerEffect, ControllerRequest, MetadataAudit, MetadataImage, MetadataViolation, ReplyId,
};
use crate::disk::Disk;
use crate::ids::{ConnId, NodeId, Offset};
use crate::quorum::{QuorumEffect, QuorumError, QuorumView, SnapshotId};
use crate::wire::{self, Asked, Body, Door};

use super::broker::{Turn, api_versions};
use super::connections::{Connections, ReplyTo};
use super::dialled::{Answer, Dialled};
use super::{BootError, Effect, Event, ListenerKind, NodeConfig, Now, Role};

const DOOR: Door = Door { role: Role::Controller, listener: ListenerKind::Internal };

/// A controller and its connections.
pub(super) struct ControllerSeat {
    controller: Controller,
    connections: Connections,
    /// Connections to the other controllers.
    dialled: Dialled<NodeId>,
    next_reply: u64,
    waiting: BTreeMap<ReplyId, ReplyTo>,
    request_max_bytes: usize,
}

impl ControllerSeat {
    pub(super) fn boot(config: &NodeConfig, now: Now, disk: &mut dyn Disk) -> Result<Self, BootError> {
        Ok(Self {
            controller: Controller::boot(config, now, disk)?,
            connections: Connections::new(&config.auth),
            dialled: Dialled::new(&config.auth),
            next_reply: 0,
            waiting: BTreeMap::new(),
            request_max_bytes: config.request_max_bytes,
        })
    }

    pub(super) fn step(&mut self, event: Event, turn: &mut Turn<'_>) {
        match event {
            Event::Accepted { conn, listener } => self.connections.accepted(conn, listener),
            Event::Connected { conn } => match self.dialled.purpose(conn) {
                Some(voter) if self.dialled.connected(conn, turn.effects) => {
                    self.voter_connected(voter, turn);
                }
                Some(_) => {}
                None => turn.effects.push(Effect::Close { conn }),
            },
            Event::Closed { conn } => match self.dialled.closed(conn) {
                Some(voter) => self.voter_closed(voter, turn),
                _ => self.connections.closed(conn),
            },
            Event::Frame { conn, frame } => match self.dialled.purpose(conn) {
                Some(voter) => self.answered(conn, voter, frame, turn),
                _ => self.request(conn, frame, turn),
            },
            Event::Tick => {
                let mut out = Vec::new();
                self.controller.tick(turn.now, turn.disk, &mut out);
                self.carry_out(out, turn);
            }
            Event::Shutdown => {
                let mut out = Vec::new();
                self.controller.resign(turn.now, turn.disk, &mut out);
                self.carry_out(out, turn);
                // It flushes each append in place, so there is nothing to put in order first.
                turn.effects.push(Effect::Exit { clean: true, reason: "orderly stop".into() });
            }
            // A controller asks for no flush.
            Event::Synced { .. } => {}
        }
    }

    fn voter_connected(&mut self, voter: NodeId, turn: &mut Turn<'_>) {
        let mut out = Vec::new();
        self.controller.voter_connected(turn.now, voter, turn.disk, &mut out);
        self.carry_out(out, turn);
    }

    fn voter_closed(&mut self, voter: NodeId, turn: &mut Turn<'_>) {
        let mut out = Vec::new();
        self.controller.voter_closed(turn.now, voter, turn.disk, &mut out);
        self.carry_out(out, turn);
    }

    fn answered(&mut self, conn: ConnId, voter: NodeId, frame: Bytes, turn: &mut Turn<'_>) {
        let response = match self.dialled.answered(conn, frame, turn.effects) {
            Answer::Response(response) => response,
            Answer::LoggingIn => return,
            Answer::LoggedIn => return self.voter_connected(voter, turn),
            Answer::Useless => {
                self.dialled.close(voter, turn.effects);
                return self.voter_closed(voter, turn);
            }
        };
        let mut out = Vec::new();
        self.controller.voter_answered(turn.now, voter, &response, turn.disk, &mut out);
        self.carry_out(out, turn);
    }

    pub(super) fn next_tick_ns(&self) -> u64 {
        self.controller.next_tick_ns()
    }

    pub(super) fn is_ready(&self) -> bool {
        self.controller.leader().is_some()
    }

    pub(super) fn quorum_view(&self) -> QuorumView {
        self.controller.quorum_view()
    }

    pub(super) fn image(&self) -> &MetadataImage {
        self.controller.image()
    }

    pub(super) fn read_committed(
        &self,
        from: Offset,
        max_bytes: usize,
        disk: &mut dyn Disk,
    ) -> Result<Vec<Bytes>, QuorumError> {
        self.controller.quorum().read(from, max_bytes, disk)
    }

    pub(super) fn snapshot(&self, disk: &mut dyn Disk) -> Result<Option<(SnapshotId, Bytes)>, QuorumError> {
        self.controller.quorum().read_snapshot(disk)
    }

    pub(super) fn audit(
        &self,
        audit: &mut MetadataAudit,
        disk: &mut dyn Disk,
    ) -> Result<Vec<MetadataViolation>, QuorumError> {
        self.controller.audit(audit, disk)
    }

    fn request(&mut self, conn: ConnId, frame: Bytes, turn: &mut Turn<'_>) {
        let Some(listener) = self.connections.listener(conn) else { return };
        if frame.len() > self.request_max_bytes {
            tracing::warn!(
                ?conn,
                size = frame.len(),
                max = self.request_max_bytes,
                "closing: request too large"
            );
            return self.connections.close(conn, turn.effects);
        }
        let door = Door { listener, ..DOOR };
        let Some(frame) = self.connections.admit(conn, door, frame, turn.effects) else { return };
        let request = match wire::decode_request(DOOR, frame) {
            Ok(request) => request,
            Err(error) => {
                tracing::warn!(?conn, %error, "closing: bad request");
                return self.connections.close(conn, turn.effects);
            }
        };
        let reply = self.connections.expect(conn, request.asked);
        let body = match request.body {
            Body::Known(body) => *body,
            Body::UnknownApiVersions | Body::AncientProduce(_) => {
                let refusal = api_versions(DOOR, ResponseError::UnsupportedVersion.code());
                return self.respond(reply, &refusal, turn);
            }
        };
        match ControllerRequest::try_from(body) {
            Ok(request) => {
                let id = ReplyId(self.next_reply);
                self.next_reply += 1;
                self.waiting.insert(id, reply);
                let mut out = Vec::new();
                self.controller.handle(turn.now, request, id, turn.disk, &mut out);
                self.carry_out(out, turn);
            }
            Err(other) => self.voters_request(&other, reply, turn),
        }
    }

    /// What voters ask each other is answered at once.
    fn voters_request(&mut self, request: &RequestKind, reply: ReplyTo, turn: &mut Turn<'_>) {
        let (mut out, now) = (Vec::new(), turn.now);
        let response: Option<ResponseKind> = match request {
            RequestKind::ApiVersions(_) => Some(api_versions(DOOR, 0)),
            RequestKind::Vote(request) => {
                self.controller.vote(now, request, turn.disk, &mut out).map(Into::into)
            }
            RequestKind::BeginQuorumEpoch(request) => {
                self.controller.begin_epoch(now, request, turn.disk, &mut out).map(Into::into)
            }
            RequestKind::EndQuorumEpoch(request) => {
                self.controller.end_epoch(now, request, turn.disk, &mut out).map(Into::into)
            }
            other => unreachable!("{other:?} is offered but not answered"),
        };
        if let Some(response) = response {
            self.respond(reply, &response, turn);
        }
        self.carry_out(out, turn);
    }

    fn carry_out(&mut self, effects: Vec<ControllerEffect>, turn: &mut Turn<'_>) {
        for effect in effects {
            match effect {
                ControllerEffect::Reply { reply, response } => {
                    if let Some(to) = self.waiting.remove(&reply) {
                        self.respond(to, &ResponseKind::from(*response), turn);
                    }
                }
                ControllerEffect::Abandon { reply } => {
                    if let Some(to) = self.waiting.remove(&reply) {
                        self.connections.abandon(to, turn.effects);
                    }
                }
                ControllerEffect::Voter(effect) => self.carry_out_for_voter(effect, turn),
                ControllerEffect::Failed { reason } => {
                    turn.effects.push(Effect::Exit { clean: false, reason });
                }
            }
        }
    }

    fn carry_out_for_voter(&mut self, effect: QuorumEffect, turn: &mut Turn<'_>) {
        match effect {
            QuorumEffect::Dial { voter } => {
                self.dialled.dial(voter.node, voter.node, voter.endpoint, turn.effects);
            }
            QuorumEffect::Close { voter } => self.dialled.close(voter, turn.effects),
            QuorumEffect::Send { voter, api, version, request } => {
                let asked = Asked { api, version, correlation: 0 };
                self.dialled.send(voter, &request, asked, turn.effects);
            }
        }
    }

    fn respond(&mut self, to: ReplyTo, response: &ResponseKind, turn: &mut Turn<'_>) {
        self.connections.respond(to, response, turn.effects);
    }
}
