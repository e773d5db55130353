//! Whatever brokers do, in whatever order, the log keeps its rules and replays to the same image.

use proptest::prelude::*;

use super::fixture::Fixture;

#[derive(Clone, Debug)]
enum Step {
    Register(i32),
    Beat(i32, bool),
    Pass(Vec<i32>),
    /// Time passes, but the controller's timer is late.
    Stall,
    Create(i32, i16),
    Alter {
        leader: i32,
        topic: i32,
        epochs: (i32, i32),
        isr: Vec<i32>,
        right: bool,
    },
    Delete(i32),
    Move(i32, Option<Vec<i32>>),
    ElectPreferred,
    Restart,
}

fn broker() -> impl Strategy<Value = i32> {
    1..=4_i32
}

fn some_brokers() -> impl Strategy<Value = Vec<i32>> {
    proptest::sample::subsequence(vec![1, 2, 3, 4], 0..=4)
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => broker().prop_map(Step::Register),
        6 => (broker(), proptest::bool::weighted(0.1)).prop_map(|(id, stop)| Step::Beat(id, stop)),
        3 => some_brokers().prop_map(Step::Pass),
        1 => Just(Step::Stall),
        2 => (0..3_i32, 1..=4_i16).prop_map(|(topic, replicas)| Step::Create(topic, replicas)),
        8 => (broker(), 0..3_i32, (0..4_i32, 0..6_i32), some_brokers(), proptest::bool::weighted(0.7))
            .prop_map(|(leader, topic, epochs, isr, right)| Step::Alter { leader, topic, epochs, isr, right }),
        1 => (0..3_i32).prop_map(Step::Delete),
        3 => (0..3_i32, proptest::option::weighted(0.8, some_brokers().prop_shuffle()))
            .prop_map(|(topic, target)| Step::Move(topic, target)),
        1 => Just(Step::ElectPreferred),
        1 => Just(Step::Restart),
    ]
}

fn carry_out(it: &mut Fixture, incarnation: &mut u128, step: &Step) {
    match step {
        Step::Register(id) => {
            *incarnation += 1;
            it.register(*id, *incarnation);
        }
        Step::Beat(id, stop) => {
            it.beat(*id, *stop);
        }
        Step::Pass(alive) => it.pass(150, alive),
        Step::Stall => it.ms += 300,
        Step::Create(topic, replicas) => {
            it.create(&format!("t{topic}"), 2, *replicas);
        }
        Step::Alter { leader, topic, epochs, isr, right } => {
            let name = format!("t{topic}");
            if it.controller.image().topic_named(&name).is_none() {
                return;
            }
            if *right {
                // As the true leader would, with a member or two more or less.
                let state = it.state(&name, 0);
                let epochs = (state.leader_epoch.0, state.partition_epoch);
                let isr: Vec<i32> = isr.iter().copied().chain([state.leader.0]).collect();
                it.alter(state.leader.0, &name, epochs, &isr);
            } else {
                it.alter(*leader, &name, *epochs, isr);
            }
        }
        Step::Delete(topic) => {
            let name = kafka_protocol::messages::TopicName(format!("t{topic}").into());
            it.ask(kafka_protocol::messages::DeleteTopicsRequest::default().with_topic_names(vec![name]));
        }
        Step::Move(topic, target) => {
            it.ask(super::reassignment::of_topic(&format!("t{topic}"), target.as_deref()));
        }
        Step::ElectPreferred => {
            it.ask(kafka_protocol::messages::ElectLeadersRequest::default().with_topic_partitions(None));
        }
        Step::Restart => it.restart(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_sequence_keeps_the_rules_and_replays_to_the_same_image(
        unclean in proptest::bool::weighted(0.3),
        steps in proptest::collection::vec(step(), 1..80),
    ) {
        let mut it = Fixture::with(|config| config.unclean_leader_election = unclean);
        let mut incarnation = 0;
        for id in 1..=3 {
            incarnation += 1;
            it.join(id, incarnation);
        }
        for step in &steps {
            carry_out(&mut it, &mut incarnation, step);
        }
        prop_assert_eq!(it.violations(), Vec::<String>::new());
        prop_assert_eq!(&it.replayed(), it.controller.image());
        // Who is led, is led by somebody who may lead.
        for (_, partition) in it.controller.image().partitions() {
            prop_assert!(!partition.has_leader() || it.controller.image().is_active(partition.state.leader));
        }
    }
}
