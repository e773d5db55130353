//! Channels and a controller, joined by wires that a test may cut.

use std::collections::VecDeque;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::{AllocateProducerIdsRequest, CreateTopicsRequest, TopicName};

use super::fixture::{CONTROLLER, at, config, endpoint, state};
use crate::controller::channel::{CallId, ChannelEffect, ChannelKind, ControllerChannel};
use crate::controller::{
    Controller, ControllerEffect, ControllerRequest, ControllerResponse, ReplyId, refusal,
};
use crate::disk::MemDisk;
use crate::ids::{BrokerEpoch, LeaderEpoch, NodeId, PartitionId};
use crate::node::{NodeConfig, Peer, Role};

/// A broker with its channel.
struct Broker {
    channel: ControllerChannel,
    alive: bool,
    /// The broker's connections stay silent: dials fail, what is sent is lost.
    cut: bool,
    /// What the channel said to its broker.
    heard: Vec<ChannelEffect>,
}

/// The controller's answer, or none in time.
#[derive(PartialEq, Debug)]
struct Answer(Option<ControllerResponse>);

/// Some brokers and one controller process.
struct Net {
    config: NodeConfig,
    controller: Option<Controller>,
    disk: MemDisk,
    brokers: Vec<Broker>,
    ms: u64,
    /// Who waits for which answer of the controller.
    asked: Vec<(ReplyId, usize, ChannelKind)>,
    next_reply: u64,
}

impl Net {
    fn new(brokers: i32) -> Self {
        Self::with(brokers, |_| {})
    }

    fn with(brokers: i32, change: impl FnOnce(&mut NodeConfig)) -> Self {
        let mut config = config(CONTROLLER, Role::Controller);
        change(&mut config);
        let mut disk = MemDisk::new();
        let controller = Controller::boot(&config, at(0), &mut disk).unwrap();
        let mut net = Self {
            config,
            controller: Some(controller),
            disk,
            brokers: Vec::new(),
            ms: 0,
            asked: Vec::new(),
            next_reply: 0,
        };
        net.brokers = (1..=brokers).map(|id| net.broker(id)).collect();
        net
    }

    fn broker(&self, id: i32) -> Broker {
        let mut config = config(NodeId(id), Role::Broker);
        config.quorum_snapshot_fetch_bytes = self.config.quorum_snapshot_fetch_bytes;
        let channel = ControllerChannel::new(&config, None, at(self.ms));
        Broker { channel, alive: true, cut: false, heard: Vec::new() }
    }

    fn controller(&self) -> &Controller {
        self.controller.as_ref().unwrap()
    }

    /// Lets time pass, a millisecond at a time; messages take no time.
    fn run(&mut self, ms: u64) {
        for _ in 0..ms {
            self.ms += 1;
            if let Some(controller) = &mut self.controller
                && controller.next_tick_ns() <= at(self.ms).mono_ns
            {
                let mut out = Vec::new();
                controller.tick(at(self.ms), &mut self.disk, &mut out);
                self.deliver(out);
            }
            for index in 0..self.brokers.len() {
                let broker = &mut self.brokers[index];
                if broker.alive && broker.channel.next_tick_ns() <= at(self.ms).mono_ns {
                    let mut out = Vec::new();
                    broker.channel.tick(at(self.ms), &mut out);
                    self.carry_out(index, out);
                }
            }
        }
    }

    fn carry_out(&mut self, index: usize, effects: Vec<ChannelEffect>) {
        let mut queue = VecDeque::from(effects);
        while let Some(effect) = queue.pop_front() {
            let now = at(self.ms);
            let mut out = Vec::new();
            let broker = &mut self.brokers[index];
            match effect {
                ChannelEffect::Dial { .. } if broker.cut => {}
                ChannelEffect::Dial { kind, node, .. } => {
                    if self.controller.is_some() && node == CONTROLLER {
                        broker.channel.connected(now, kind, &mut out);
                    } else {
                        broker.channel.closed(now, kind, &mut out);
                        // Its other dial has been taken back, if it was not made yet.
                        queue.retain(|effect| !matches!(effect, ChannelEffect::Dial { .. }));
                    }
                }
                ChannelEffect::Close { kind } => self.asked.retain(|(_, i, k)| (*i, *k) != (index, kind)),
                ChannelEffect::Send { .. } if broker.cut => {}
                ChannelEffect::Send { kind, request } => {
                    self.next_reply += 1;
                    let reply = ReplyId(self.next_reply);
                    self.asked.push((reply, index, kind));
                    let controller = self.controller.as_mut().expect("a connection to a live controller");
                    let mut effects = Vec::new();
                    controller.handle(now, *request, reply, &mut self.disk, &mut effects);
                    self.deliver(effects);
                }
                other => broker.heard.push(other),
            }
            queue.extend(out);
        }
    }

    fn deliver(&mut self, effects: Vec<ControllerEffect>) {
        for effect in effects {
            let ControllerEffect::Reply { reply, response } = effect else { panic!("{effect:?}") };
            // Whoever has closed the connection meanwhile does not hear the answer.
            let Some(place) = self.asked.iter().position(|(id, ..)| *id == reply) else { continue };
            let (_, index, kind) = self.asked.remove(place);
            let broker = &mut self.brokers[index];
            if broker.alive && !broker.cut {
                let mut out = Vec::new();
                broker.channel.response(at(self.ms), kind, *response, &mut out);
                self.carry_out(index, out);
            }
        }
    }

    fn kill_controller(&mut self) {
        self.controller = None;
        self.disk.close_all();
        self.asked.clear();
        for index in 0..self.brokers.len() {
            let mut out = Vec::new();
            self.brokers[index].channel.closed(at(self.ms), ChannelKind::Control, &mut out);
            self.carry_out(index, out);
        }
    }

    fn start_controller(&mut self) {
        self.controller = Some(Controller::boot(&self.config, at(self.ms), &mut self.disk).unwrap());
    }

    fn call(&mut self, index: usize, request: impl Into<ControllerRequest>, timeout_ms: u64) -> CallId {
        let mut out = Vec::new();
        let id = self.brokers[index].channel.call(at(self.ms), request.into(), timeout_ms, &mut out);
        self.carry_out(index, out);
        id
    }

    /// Takes the end of a forwarded request, if it has ended.
    fn answer(&mut self, index: usize, id: CallId) -> Option<Answer> {
        let heard = &mut self.brokers[index].heard;
        let place =
            heard.iter().position(|it| matches!(it, ChannelEffect::Answer { call, .. } if *call == id))?;
        let ChannelEffect::Answer { response, .. } = heard.remove(place) else { unreachable!() };
        Some(Answer(response.map(|response| *response)))
    }

    fn create(&mut self, index: usize, name: &'static str, replicas: i16) -> i16 {
        let topic = CreatableTopic::default()
            .with_name(TopicName(name.into()))
            .with_num_partitions(1)
            .with_replication_factor(replicas);
        let id = self.call(index, CreateTopicsRequest::default().with_topics(vec![topic]), 1000);
        self.run(1);
        let Some(Answer(Some(ControllerResponse::CreateTopics(answer)))) = self.answer(index, id) else {
            panic!()
        };
        answer.topics[0].error_code
    }

    fn all_agree(&self) -> bool {
        self.brokers
            .iter()
            .filter(|broker| broker.alive)
            .all(|it| it.channel.image() == self.controller().image())
    }
}

#[test]
fn brokers_join_and_follow_the_metadata_within_milliseconds() {
    let mut net = Net::new(3);
    net.run(5);
    assert!(net.brokers.iter().all(|broker| !broker.channel.is_fenced()));
    assert_eq!(net.create(0, "t", 3), 0);
    assert!(net.all_agree());
    for broker in &net.brokers {
        let created = |it: &&ChannelEffect| matches!(it, ChannelEffect::ImageChanged { delta } if !delta.topics_created.is_empty());
        assert_eq!(broker.heard.iter().filter(created).count(), 1);
        assert!(broker.heard.contains(&ChannelEffect::Fenced { fenced: false }));
    }
}

#[test]
fn a_broker_that_was_cut_off_takes_the_metadata_from_a_snapshot_and_is_told_what_is_different() {
    let mut net = Net::with(3, |config| {
        config.metadata_snapshot_bytes = 100;
        config.metadata_segment_bytes = 200;
        config.quorum_snapshot_fetch_bytes = 40;
    });
    net.run(5);
    net.create(0, "before", 3);
    net.brokers[2].cut = true;
    net.run(1000);
    for name in ["a", "b", "c", "d", "e", "f"] {
        assert_eq!(net.create(0, name, 2), 0);
        net.run(100);
    }
    assert!(net.controller().quorum().log_start() > net.brokers[2].channel.image().next_offset());
    net.brokers[2].heard.clear();
    net.brokers[2].cut = false;
    net.run(1500);
    assert!(net.all_agree());
    assert_eq!(net.brokers[2].channel.snapshots(), (1, 0));
    let told = net.brokers[2].heard.iter().find_map(|it| match it {
        ChannelEffect::ImageChanged { delta } => Some(delta),
        _ => None,
    });
    let told = told.expect("a change");
    assert!(told.topics_created.len() >= 5 && told.brokers.contains(&NodeId(3)), "{told:?}");
    assert!(told.partitions.len() > told.topics_created.len(), "the partition that was there has changed");
}

#[test]
fn heartbeats_keep_a_broker_in_and_silence_puts_it_out() {
    let mut net = Net::new(3);
    net.run(5);
    net.create(0, "t", 3);
    net.run(3000);
    let topic = net.controller().image().topic_named("t").unwrap().partitions[&PartitionId(0)].clone();
    assert_eq!(topic.state, state(1, &[1, 2, 3], 0, 0));
    net.brokers[0].alive = false;
    net.run(400);
    let topic = net.brokers[1].channel.image().topic_named("t").unwrap().partitions[&PartitionId(0)].clone();
    assert_eq!(topic.state, state(2, &[2, 3], 1, 1));
}

#[test]
fn a_new_process_takes_the_place_of_a_killed_one_under_a_new_epoch() {
    let mut net = Net::new(3);
    net.run(5);
    let old = net.brokers[0].channel.broker_epoch();
    net.asked.retain(|(_, index, _)| *index != 0);
    net.brokers[0] = net.broker(1);
    net.run(800);
    assert!(net.brokers[0].channel.broker_epoch() > old);
    assert!(!net.brokers[0].channel.is_fenced());
    assert!(net.all_agree());
}

#[test]
fn a_cut_broker_keeps_its_image_and_comes_back() {
    let mut net = Net::new(3);
    net.run(5);
    net.create(0, "t", 3);
    net.brokers[2].cut = true;
    net.run(2000);
    assert!(!net.controller().image().is_active(NodeId(3)));
    assert!(net.brokers[2].channel.image().topic_named("t").is_some());
    let epoch = net.brokers[2].channel.broker_epoch();
    net.brokers[2].cut = false;
    net.run(1000);
    assert!(net.controller().image().is_active(NodeId(3)));
    assert_eq!(net.brokers[2].channel.broker_epoch(), epoch, "the same process keeps its registration");
    assert!(net.all_agree());
}

#[test]
fn a_restarted_controller_is_found_again_before_anybody_is_fenced() {
    let mut net = Net::new(3);
    net.run(5);
    net.create(0, "t", 3);
    let id = {
        net.kill_controller();
        let id = net.call(1, AllocateProducerIdsRequest::default(), 2000);
        net.run(100);
        assert_eq!(net.answer(1, id), None);
        id
    };
    net.start_controller();
    net.run(600);
    let Some(Answer(Some(ControllerResponse::AllocateProducerIds(answer)))) = net.answer(1, id) else {
        panic!()
    };
    assert_eq!((answer.error_code, answer.producer_id_len), (0, 1000));
    assert!(net.all_agree());
    let partition = net.controller().image().topic_named("t").unwrap().partitions[&PartitionId(0)].clone();
    assert_eq!(partition.state, state(1, &[1, 2, 3], 0, 0));
    assert!(net.brokers.iter().all(|broker| !broker.heard.contains(&ChannelEffect::Fenced { fenced: true })));
}

#[test]
fn a_forwarded_request_ends_without_an_answer_when_its_time_is_over() {
    let mut net = Net::new(1);
    net.run(5);
    net.kill_controller();
    let id = net.call(0, AllocateProducerIdsRequest::default(), 200);
    net.run(199);
    assert_eq!(net.answer(0, id), None);
    net.run(2);
    assert_eq!(net.answer(0, id), Some(Answer(None)));
}

#[test]
fn a_broker_stops_once_others_lead_and_at_last_without_a_controller() {
    let mut net = Net::new(2);
    net.run(5);
    net.create(0, "t", 2);
    let mut out = Vec::new();
    net.brokers[0].channel.begin_shutdown(at(net.ms), &mut out);
    net.carry_out(0, out);
    net.run(100);
    let may_stop = |net: &Net, index: usize| {
        net.brokers[index].heard.iter().filter(|it| matches!(it, ChannelEffect::MayStop)).count()
    };
    assert_eq!(may_stop(&net, 0), 1);
    let partition = net.controller().image().topic_named("t").unwrap().partitions[&PartitionId(0)].clone();
    assert_eq!(partition.state, state(2, &[2], 1, 1));
    net.kill_controller();
    let mut out = Vec::new();
    net.brokers[1].channel.begin_shutdown(at(net.ms), &mut out);
    net.carry_out(1, out);
    net.run(1199);
    assert_eq!(may_stop(&net, 1), 0);
    net.run(2);
    assert_eq!(may_stop(&net, 1), 1);
}

#[test]
fn a_controller_that_lost_its_disk_makes_brokers_start_again() {
    let mut net = Net::new(2);
    net.run(5);
    net.create(0, "t", 2);
    net.kill_controller();
    net.disk = MemDisk::new();
    net.start_controller();
    net.run(1000);
    assert!(net.all_agree());
    assert!(net.controller().image().topic_named("t").is_none());
    for broker in &net.brokers {
        assert!(broker.heard.contains(&ChannelEffect::ImageReset));
        assert!(!broker.channel.is_fenced());
    }
}

#[test]
fn a_voter_that_does_not_lead_sends_the_channel_to_the_one_it_names() {
    let mut config = config(NodeId(1), Role::Broker);
    let voter = |id| Peer { node: NodeId(id), endpoint: endpoint(9100 + id as u16) };
    config.controllers = vec![voter(0), voter(1), voter(2)];
    let mut channel = ControllerChannel::new(&config, Some(BrokerEpoch(5)), at(0));
    let dialled = |out: &[ChannelEffect]| -> Vec<i32> {
        let dials = out.iter().filter_map(|effect| match effect {
            ChannelEffect::Dial { node, .. } => Some(node.0),
            _ => None,
        });
        dials.collect()
    };
    let mut out = Vec::new();
    channel.tick(at(0), &mut out);
    assert_eq!(dialled(&out), [0, 0]);
    out.clear();
    for kind in [ChannelKind::Control, ChannelKind::Metadata] {
        channel.connected(at(1), kind, &mut out);
    }
    let mut refused = out.iter().map(|effect| match effect {
        ChannelEffect::Send { request, .. } => {
            refusal::not_controller(request, Some(NodeId(2)), LeaderEpoch(3))
        }
        other => panic!("{other:?}"),
    });
    let (registration, fetch) = (refused.next().unwrap(), refused.next().unwrap());
    drop(refused);
    out.clear();
    channel.response(at(2), ChannelKind::Control, registration, &mut out);
    assert_eq!(out, [], "that answer names nobody: the other one does");
    channel.response(at(2), ChannelKind::Metadata, fetch, &mut out);
    assert_eq!(out.len(), 2, "both are closed: {out:?}");
    out.clear();
    channel.tick(at(22), &mut out);
    assert_eq!(dialled(&out), [2, 2], "soon");
    // Nobody answers there: the next voter is tried.
    channel.closed(at(61), ChannelKind::Control, &mut out);
    out.clear();
    channel.tick(at(200), &mut out);
    assert_eq!(dialled(&out), [0, 0]);
}

#[test]
fn a_refused_registration_is_tried_again() {
    let mut net = Net::new(1);
    net.run(5);
    // Another process under the same id, while the first is alive.
    let mut usurper = config(NodeId(1), Role::Broker);
    usurper.seed = 99;
    let channel = ControllerChannel::new(&usurper, None, at(net.ms));
    net.brokers.push(Broker { channel, alive: true, cut: false, heard: Vec::new() });
    net.run(2000);
    assert_eq!(net.brokers[1].channel.broker_epoch(), None);
    assert!(!net.brokers[0].channel.is_fenced());
    net.brokers[0].alive = false;
    net.run(1000);
    assert!(!net.brokers[1].channel.is_fenced());
    assert_eq!(net.create(1, "t", 1), 0);
    assert_eq!(net.create(1, "t", 1), ResponseError::TopicAlreadyExists.code());
}
