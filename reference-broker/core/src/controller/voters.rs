//! The other voters, as they reach the controller: handed on to the quorum, and what follows carried out.

use kafka_protocol::messages::{
    BeginQuorumEpochRequest, BeginQuorumEpochResponse, EndQuorumEpochRequest, EndQuorumEpochResponse,
    ResponseKind, VoteRequest, VoteResponse,
};

use super::controller::Controller;
use super::effect::ControllerEffect;
use crate::disk::Disk;
use crate::ids::NodeId;
use crate::node::Now;
use crate::quorum::{Quorum, QuorumEffect, QuorumError};

impl Controller {
    /// Another voter asks for a vote. `None`: the disk has failed, and nothing is answered any more.
    pub fn vote(
        &mut self,
        now: Now,
        request: &VoteRequest,
        disk: &mut dyn Disk,
        out: &mut Vec<ControllerEffect>,
    ) -> Option<VoteResponse> {
        self.with_quorum(now, disk, out, |quorum, disk, _| quorum.vote(now, request, disk))
    }

    /// Another voter says that it leads; `None` as for [`vote`](Self::vote).
    pub fn begin_epoch(
        &mut self,
        now: Now,
        request: &BeginQuorumEpochRequest,
        disk: &mut dyn Disk,
        out: &mut Vec<ControllerEffect>,
    ) -> Option<BeginQuorumEpochResponse> {
        self.with_quorum(now, disk, out, |quorum, disk, _| quorum.begin_epoch(now, request, disk))
    }

    /// Another voter says that it leads no more; `None` as for [`vote`](Self::vote).
    pub fn end_epoch(
        &mut self,
        now: Now,
        request: &EndQuorumEpochRequest,
        disk: &mut dyn Disk,
        out: &mut Vec<ControllerEffect>,
    ) -> Option<EndQuorumEpochResponse> {
        self.with_quorum(now, disk, out, |quorum, disk, _| quorum.end_epoch(now, request, disk))
    }

    /// The connection to a voter stands.
    pub fn voter_connected(
        &mut self,
        now: Now,
        voter: NodeId,
        disk: &mut dyn Disk,
        out: &mut Vec<ControllerEffect>,
    ) {
        self.with_quorum(now, disk, out, |quorum, _, asked| {
            quorum.connected(now, voter, asked);
            Ok(())
        });
    }

    /// The connection to a voter is gone or could not be made.
    pub fn voter_closed(
        &mut self,
        now: Now,
        voter: NodeId,
        disk: &mut dyn Disk,
        out: &mut Vec<ControllerEffect>,
    ) {
        self.with_quorum(now, disk, out, |quorum, _, asked| {
            quorum.closed(now, voter, asked);
            Ok(())
        });
    }

    /// A voter has answered.
    pub fn voter_answered(
        &mut self,
        now: Now,
        voter: NodeId,
        response: &ResponseKind,
        disk: &mut dyn Disk,
        out: &mut Vec<ControllerEffect>,
    ) {
        self.with_quorum(now, disk, out, |quorum, disk, asked| {
            quorum.answered(now, voter, response, disk, asked)
        });
    }

    /// This voter stops: if it leads, it says so, that others need not wait until they miss it.
    pub fn resign(&mut self, now: Now, disk: &mut dyn Disk, out: &mut Vec<ControllerEffect>) {
        self.with_quorum(now, disk, out, |quorum, _, _| {
            quorum.resign(now);
            Ok(())
        });
    }

    /// Lets the quorum do something, and then all that is due after it.
    fn with_quorum<T>(
        &mut self,
        now: Now,
        disk: &mut dyn Disk,
        out: &mut Vec<ControllerEffect>,
        act: impl FnOnce(&mut Quorum, &mut dyn Disk, &mut Vec<QuorumEffect>) -> Result<T, QuorumError>,
    ) -> Option<T> {
        if self.failed {
            return None;
        }
        let mut asked = Vec::new();
        let done = act(&mut self.quorum, disk, &mut asked).inspect_err(|error| self.fail(error, out)).ok()?;
        // A new role may have something to say to the others.
        self.quorum.drive(now, &mut asked);
        out.extend(asked.into_iter().map(ControllerEffect::Voter));
        self.advance(now, disk, out);
        Some(done)
    }
}
