//! A controller behind its listener.
//!
//! In:  frames of brokers. Out: the answers of the [`Controller`], in the order of the requests.

use std::collections::BTreeMap;

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::{RequestKind, ResponseKind};

use crate::controller::{
    Controller, ControllerEffect, ControllerRequest, MetadataAudit, MetadataImage, MetadataViolation, ReplyId,
};
use crate::disk::Disk;
use crate::ids::ConnId;
use crate::quorum::QuorumError;
use crate::wire::{self, Body, Door};

use super::broker::{Turn, api_versions};
use super::connections::{Connections, ReplyTo};
use super::{BootError, Effect, Event, ListenerKind, NodeConfig, Now, Role};

const DOOR: Door = Door { role: Role::Controller, listener: ListenerKind::Internal };

/// A controller and its connections.
pub(super) struct ControllerSeat {
    controller: Controller,
    connections: Connections,
    next_reply: u64,
    waiting: BTreeMap<ReplyId, ReplyTo>,
    request_max_bytes: usize,
}

impl ControllerSeat {
    pub(super) fn boot(config: &NodeConfig, now: Now, disk: &mut dyn Disk) -> Result<Self, BootError> {
        Ok(Self {
            controller: Controller::boot(config, now, disk)?,
            connections: Connections::default(),
            next_reply: 0,
            waiting: BTreeMap::new(),
            request_max_bytes: config.request_max_bytes,
        })
    }

    pub(super) fn step(&mut self, event: Event, turn: &mut Turn<'_>) {
        match event {
            Event::Accepted { conn, listener } => self.connections.accepted(conn, listener),
            Event::Closed { conn } => self.connections.closed(conn),
            Event::Frame { conn, frame } => self.request(conn, frame, turn),
            Event::Tick => {
                let mut out = Vec::new();
                self.controller.tick(turn.now, turn.disk, &mut out);
                self.carry_out(out, turn);
            }
            // It flushes each append in place, so there is nothing to put in order first.
            Event::Shutdown => turn.effects.push(Effect::Exit { clean: true, reason: "orderly stop".into() }),
            // A controller dials nobody and asks for no flush.
            Event::Connected { .. } | Event::Synced { .. } => {}
        }
    }

    pub(super) fn next_tick_ns(&self) -> u64 {
        self.controller.next_tick_ns()
    }

    pub(super) fn is_ready(&self) -> bool {
        self.controller.leader().is_some()
    }

    pub(super) fn image(&self) -> &MetadataImage {
        self.controller.image()
    }

    pub(super) fn audit(
        &self,
        audit: &mut MetadataAudit,
        disk: &mut dyn Disk,
    ) -> Result<Vec<MetadataViolation>, QuorumError> {
        self.controller.audit(audit, disk)
    }

    fn request(&mut self, conn: ConnId, frame: Bytes, turn: &mut Turn<'_>) {
        if self.connections.listener(conn).is_none() {
            return;
        }
        if frame.len() > self.request_max_bytes {
            tracing::warn!(
                ?conn,
                size = frame.len(),
                max = self.request_max_bytes,
                "closing: request too large"
            );
            return self.connections.close(conn, turn.effects);
        }
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
        match (ControllerRequest::try_from(body), reply) {
            (Ok(request), reply) => {
                let id = ReplyId(self.next_reply);
                self.next_reply += 1;
                self.waiting.insert(id, reply);
                let mut out = Vec::new();
                self.controller.handle(turn.now, request, id, turn.disk, &mut out);
                self.carry_out(out, turn);
            }
            (Err(other), reply) => match *other {
                RequestKind::ApiVersions(_) => self.respond(reply, &api_versions(DOOR, 0), turn),
                other => unreachable!("{other:?} is offered but not answered"),
            },
        }
    }

    fn carry_out(&mut self, effects: Vec<ControllerEffect>, turn: &mut Turn<'_>) {
        for effect in effects {
            match effect {
                ControllerEffect::Reply { reply, response } => {
                    if let Some(to) = self.waiting.remove(&reply) {
                        self.respond(to, &ResponseKind::from(*response), turn);
                    }
                }
                ControllerEffect::Failed { reason } => {
                    turn.effects.push(Effect::Exit { clean: false, reason });
                }
            }
        }
    }

    fn respond(&mut self, to: ReplyTo, response: &ResponseKind, turn: &mut Turn<'_>) {
        self.connections.respond(to, response, turn.effects);
    }
}
