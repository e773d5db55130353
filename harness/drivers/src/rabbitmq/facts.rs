//! What the nodes of a cluster know themselves, each asked on its own.
//!
//! The management API is stale while a node is frozen: it names the old leader, or does not answer, until the nodes miss
//! each other's ticks (a minute by default). What a node keeps about its own Raft members is right at once.

use std::collections::BTreeMap;
use std::time::Duration;

use eetf::Term;

use super::erlang::{Answers, Nodes, atom_text, binary, list, map_get, number, strings, text};
use super::error;
use super::settings::{QueueType, Settings};
use crate::role::DriverError;

/// Expressions, evaluated with their variables bound.
const EXPRESSIONS: [&str; 7] = [
    // Is it running; who leads the store of metadata, if that is replicated.
    "[{running, rabbit:is_running()}, \
      {controller, case (catch ra_leaderboard:lookup_leader(rabbitmq_metadata)) of {_, L} -> L; _ -> none end}].",
    // Queues by `Names`. A member of a quorum queue tells its own role and term.
    "[case rabbit_amqqueue:lookup(rabbit_misc:r(<<\"/\">>, queue, Name)) of \
        {ok, Q} -> \
          Pid = amqqueue:get_pid(Q), \
          Members = case amqqueue:get_type_state(Q) of \
            #{nodes := Listed} when is_list(Listed) -> Listed; \
            #{nodes := Mapped} when is_map(Mapped) -> maps:keys(Mapped); \
            _ when is_pid(Pid) -> [node(Pid)]; \
            _ -> [] end, \
          Common = [{members, Members}, {durable, amqqueue:is_durable(Q)}, {arguments, [{K, V} || {K, _, V} <- amqqueue:get_arguments(Q)]}], \
          case amqqueue:get_type(Q) of \
            rabbit_quorum_queue -> \
              Ra = element(1, Pid), \
              Leader = case ra_leaderboard:lookup_leader(Ra) of {_, Named} -> Named; _ -> none end, \
              Role = case ets:lookup(ra_state, Ra) of [Row] -> element(2, Row); _ -> none end, \
              Term = case (catch ra:key_metrics({Ra, node()})) of \
                #{term := Now} -> Now; \
                _ -> case ets:lookup(ra_metrics, Ra) of [Row2] -> element(2, Row2); _ -> 0 end end, \
              [{type, quorum}, {leader, Leader}, {role, Role}, {term, Term} | Common]; \
            rabbit_stream_queue -> \
              Parts = [{case element(1, Key) of osiris_writer -> leader; _ -> follower end, maps:get(epoch, Counters, 0)} \
                       || {Key, Counters} <- maps:to_list(osiris_counters:overview()), \
                          lists:member(element(1, Key), [osiris_writer, osiris_replica]), \
                          {resource, _, queue, Found} <- [element(2, Key)], Found =:= Name], \
              {Part, Epoch} = case Parts of [One | _] -> One; [] -> {none, 0} end, \
              Writer = case is_pid(Pid) of true -> node(Pid); false -> none end, \
              [{type, stream}, {leader, Writer}, {role, Part}, {term, Epoch} | Common]; \
            _ -> [{type, classic}, {leader, node(Pid)} | Common] end; \
        _ -> none end || Name <- Names].",
    // Messages of queues by `Names`, ready and unsettled, where this node can tell.
    "[case rabbit_amqqueue:lookup(rabbit_misc:r(<<\"/\">>, queue, Name)) of \
        {ok, Q} -> \
          Pid = amqqueue:get_pid(Q), \
          case amqqueue:get_type(Q) of \
            rabbit_quorum_queue -> \
              Total = fun rabbit_fifo:query_messages_total/1, \
              case (catch ra:local_query({element(1, Pid), node()}, Total, 1000)) of \
                {ok, {_, Count}, _} -> Count; _ -> none end; \
            rabbit_classic_queue when node(Pid) =:= node() -> \
              case (catch rabbit_amqqueue:info(Q, [messages])) of [{messages, Held}] -> Held; _ -> none end; \
            _ -> none end; \
        _ -> none end || Name <- Names].",
    // Partitions of `Topic`, and the queues bound to each.
    "[{I, [N || B <- rabbit_binding:list_for_source(rabbit_misc:r(<<\"/\">>, exchange, X)), \
                {resource, _, queue, N} <- [element(4, B)]]} \
      || I <- lists:seq(0, 255), \
         X <- [<<Topic/binary, \".\", (integer_to_binary(I))/binary>>], \
         {ok, _} <- [rabbit_exchange:lookup(rabbit_misc:r(<<\"/\">>, exchange, X))]].",
    // What is in force on this node.
    "Ra = (catch ra_system:fetch(quorum_queues)), \
     Wal = fun(Key) -> case Ra of #{Key := Value} -> Value; _ -> product_default end end, \
     [{version, rabbit_misc:version()}, \
      {otp_release, erlang:system_info(otp_release)}, \
      {wal_sync_method, Wal(wal_sync_method)}, \
      {wal_write_strategy, Wal(wal_write_strategy)}, \
      {wal_max_size_bytes, Wal(wal_max_size_bytes)}, \
      {net_ticktime, net_kernel:get_net_ticktime()}, \
      {cluster_partition_handling, application:get_env(rabbit, cluster_partition_handling, none)}, \
      {vm_memory_high_watermark, application:get_env(rabbit, vm_memory_high_watermark, none)}, \
      {metadata_store, case (catch rabbit_khepri:is_enabled()) of true -> khepri; _ -> mnesia end}, \
      {cluster_members, length([node() | nodes()])}].",
    // First and last offset of the stream `Name` as written here, where this node has a copy, and the epoch that it is in.
    // What is counted as committed is no use: nothing right after an election, and in old versions only the beginning of
    // the last chunk.
    "[{element(1, Key), maps:get(epoch, Counters, 0), maps:get(first_offset, Counters, -1), maps:get(offset, Counters, -1)} \
      || {Key, Counters} <- maps:to_list(osiris_counters:overview()), \
         lists:member(element(1, Key), [osiris_writer, osiris_replica]), \
         {resource, _, queue, Found} <- [element(2, Key)], Found =:= Name].",
    // How many nodes of the cluster this one sees running. It asks them all, so that a frozen one keeps it waiting.
    "length(case erlang:function_exported(rabbit_nodes, list_running, 0) of \
        true -> rabbit_nodes:list_running(); _ -> rabbit_nodes:all_running() end).",
];
const NODE: usize = 0;
const QUEUES: usize = 1;
const BACKLOG: usize = 2;
const LAYOUT: usize = 3;
const SETTINGS: usize = 4;
const STREAM: usize = 5;
const PEERS: usize = 6;

/// The nodes, and how to read what they say.
#[derive(Debug)]
pub(super) struct Facts(Nodes);

/// A queue as the nodes that answer see it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct QueueFacts {
    pub(super) kind: QueueType,
    pub(super) durable: bool,
    pub(super) leader: Option<i32>,
    pub(super) members: Vec<i32>,
    /// Members that answer, or have not failed to for long.
    pub(super) online: Vec<i32>,
    pub(super) arguments: BTreeMap<String, String>,
}

/// The nodes that run.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct ClusterFacts {
    pub(super) running: Vec<i32>,
    pub(super) controller: Option<i32>,
}

impl Facts {
    /// Begins to connect to the nodes of the settings.
    pub(super) fn new(settings: &Settings) -> Result<Self, DriverError> {
        Nodes::new(&settings.nodes, &settings.cookie, &EXPRESSIONS)
            .map(Self)
            .map_err(|why| error("connections to nodes", why))
    }

    fn ask(
        &self,
        expression: usize,
        variables: &[(&str, Term)],
        timeout: Duration,
    ) -> Result<Answers, String> {
        if self.0.is_empty() {
            return Err("needs the setting `nodes` (hint: nodes=1=HOST,2=HOST and cookie=COOKIE)".to_owned());
        }
        let answers = self.0.ask(expression, variables, timeout);
        if answers.values.is_empty() {
            let why = |(number, why): (&i32, &String)| format!("node {number}: {why}");
            return Err(answers.troubles.iter().map(why).collect::<Vec<_>>().join("; "));
        }
        Ok(answers)
    }

    /// Which nodes run, and who leads the metadata.
    pub(super) fn cluster(&self, timeout: Duration) -> Result<ClusterFacts, String> {
        let answers = self.ask(NODE, &[], timeout)?;
        let facts = |value: &Term| list(value);
        let mut running: Vec<i32> = answers
            .values
            .iter()
            .filter(|(_, value)| is_atom(map_get(&facts(value), "running"), "true"))
            .map(|(number, _)| *number)
            .chain(answers.late.iter().copied())
            .collect();
        running.sort_unstable();
        let named = answers.values.values().filter_map(|value| node_in(&facts(value), "controller"));
        let controller = most_named(named).filter(|node| !answers.dead.contains(node));
        Ok(ClusterFacts { running, controller })
    }

    /// Whether every node sees every other one run. Until then a queue may be declared with fewer members than asked for.
    pub(super) fn is_complete(&self, timeout: Duration) -> Result<bool, String> {
        let answers = self.ask(PEERS, &[], timeout)?;
        let all = self.0.len();
        let sees_all = |value: &Term| number(value).and_then(|seen| usize::try_from(seen).ok()) == Some(all);
        Ok(answers.values.len() == all && answers.values.values().all(sees_all))
    }

    /// Queues by name; None: there is no such queue.
    pub(super) fn queues(
        &self,
        names: &[String],
        timeout: Duration,
    ) -> Result<Vec<Option<QueueFacts>>, String> {
        let answers = self.ask(QUEUES, &[("Names", strings(names.iter().cloned()))], timeout)?;
        let views: BTreeMap<i32, Vec<Term>> =
            answers.values.iter().map(|(node, value)| (*node, list(value))).collect();
        Ok((0..names.len())
            .map(|i| {
                let seen = views.iter().filter_map(|(node, queues)| Some((*node, View::of(queues.get(i)?)?)));
                combine(&seen.collect(), &answers.dead, &answers.late)
            })
            .collect())
    }

    /// Messages of queues, by name: the highest number that a node tells.
    pub(super) fn backlog(&self, names: &[String], timeout: Duration) -> Result<Vec<u64>, String> {
        let answers = self.ask(BACKLOG, &[("Names", strings(names.iter().cloned()))], timeout)?;
        let views: Vec<Vec<Term>> = answers.values.values().map(list).collect();
        names
            .iter()
            .enumerate()
            .map(|(i, name)| {
                let counts = views.iter().filter_map(|queues| number(queues.get(i)?));
                let highest = counts.max().and_then(|count| u64::try_from(count).ok());
                highest.ok_or_else(|| format!("no node can tell what waits in queue `{name}`"))
            })
            .collect()
    }

    /// The partitions of a topic, and the queues of each; empty if there is no such topic.
    pub(super) fn layout(
        &self,
        topic: &str,
        timeout: Duration,
    ) -> Result<BTreeMap<u32, Vec<String>>, String> {
        let answers = self.ask(LAYOUT, &[("Topic", binary(topic))], timeout)?;
        let partitions = |value: &Term| -> BTreeMap<u32, Vec<String>> {
            list(value)
                .iter()
                .filter_map(|pair| match pair {
                    Term::Tuple(pair) => {
                        let mut queues: Vec<String> = list(pair.elements.get(1)?).iter().map(text).collect();
                        queues.sort();
                        Some((number(pair.elements.first()?)? as u32, queues))
                    }
                    _ => None,
                })
                .collect()
        };
        // A node that has just come back may not know all yet.
        Ok(answers.values.values().map(partitions).max_by_key(BTreeMap::len).unwrap_or_default())
    }

    /// Settings that are in force on a node.
    pub(super) fn settings(&self, node: i32, timeout: Duration) -> Result<BTreeMap<String, String>, String> {
        let answers = self.ask(SETTINGS, &[], timeout)?;
        let value = answers.values.get(&node).ok_or_else(|| {
            answers.troubles.get(&node).cloned().unwrap_or_else(|| format!("there is no node {node}"))
        })?;
        Ok(pairs(value))
    }

    /// The version of any node that answers.
    pub(super) fn version(&self, timeout: Duration) -> Option<String> {
        let answers = self.ask(SETTINGS, &[], timeout).ok()?;
        answers.values.values().find_map(|value| pairs(value).remove("version"))
    }

    /// First offset and end (exclusive) of what a majority of a stream's copies has, which is what is committed.
    pub(super) fn stream_bounds(&self, name: &str, timeout: Duration) -> Result<(u64, u64), String> {
        let answers = self.ask(STREAM, &[("Name", binary(name))], timeout)?;
        let copies: Vec<Copy> =
            answers.values.values().flat_map(list).filter_map(|copy| Copy::of(&copy)).collect();
        bounds(&copies, self.0.len() / 2 + 1)
            .ok_or_else(|| format!("too few nodes with a copy of stream `{name}` answer"))
    }
}

/// A node's copy of a stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Copy {
    writes: bool,
    epoch: i64,
    first: i64,
    last: i64,
}

impl Copy {
    fn of(term: &Term) -> Option<Self> {
        let Term::Tuple(copy) = term else { return None };
        let [role, epoch, first, last] = copy.elements.as_slice() else { return None };
        Some(Self {
            writes: atom_text(role) == Some("osiris_writer"),
            epoch: number(epoch)?,
            first: number(first)?,
            last: number(last)?,
        })
    }
}

/// First offset and end (exclusive) of a stream: what a majority has written. A copy of an epoch that is over does not count.
fn bounds(copies: &[Copy], majority: usize) -> Option<(u64, u64)> {
    let epoch = copies.iter().map(|copy| copy.epoch).max()?;
    let current = || copies.iter().filter(|copy| copy.epoch == epoch);
    let first = current().max_by_key(|copy| (copy.writes, copy.first))?.first;
    let mut written: Vec<i64> = current().map(|copy| copy.last).collect();
    written.sort_unstable_by(|one, other| other.cmp(one));
    let last = written.get(majority - 1).copied()?;
    Some((first.max(0) as u64, (last + 1).max(0) as u64))
}

/// What one node says of a queue.
#[derive(Clone, PartialEq, Eq, Debug)]
struct View {
    kind: QueueType,
    durable: bool,
    leader: Option<i32>,
    members: Vec<i32>,
    /// This node's own part in it, where it tells.
    role: Option<String>,
    term: i64,
    arguments: BTreeMap<String, String>,
}

impl View {
    fn of(term: &Term) -> Option<Self> {
        let facts = list(term);
        let mut members: Vec<i32> =
            list(map_get(&facts, "members")?).iter().filter_map(node_number).collect();
        members.sort_unstable();
        Some(Self {
            kind: QueueType::parse(atom_text(map_get(&facts, "type")?)?).ok()?,
            durable: is_atom(map_get(&facts, "durable"), "true"),
            leader: node_in(&facts, "leader"),
            members,
            role: map_get(&facts, "role")
                .and_then(atom_text)
                .filter(|role| *role != "none")
                .map(str::to_owned),
            term: map_get(&facts, "term").and_then(number).unwrap_or_default(),
            arguments: map_get(&facts, "arguments").map(pairs).unwrap_or_default(),
        })
    }

    fn is_leader(&self) -> bool {
        self.role.as_deref() == Some("leader")
    }
}

/// One queue from what each node says of it.
///
/// Who says that it leads in the highest term does. If nobody does, the leader is who the others name last, unless nobody
/// listens there any more, or it answers and knows nothing of it: a frozen leader keeps its title until the others have
/// elected another.
fn combine(views: &BTreeMap<i32, View>, dead: &[i32], late: &[i32]) -> Option<QueueFacts> {
    let newest = views.values().max_by_key(|view| view.term)?;
    let leads = views.iter().filter(|(_, view)| view.is_leader()).max_by_key(|(_, view)| view.term);
    let named =
        most_named(views.values().filter(|view| view.term == newest.term).filter_map(|view| view.leader));
    let leader = match (newest.kind, leads) {
        (QueueType::Quorum | QueueType::Stream, Some((node, _))) => Some(*node),
        (QueueType::Quorum, None) => named.filter(|node| !views.contains_key(node) && !dead.contains(node)),
        _ => named.filter(|node| !dead.contains(node)),
    };
    let takes_part = |view: &View| match newest.kind {
        QueueType::Classic => true,
        QueueType::Quorum => view.role.is_some(),
        QueueType::Stream => view.role.is_some() && view.term == newest.term,
    };
    let is_online = |node: &&i32| views.get(*node).map_or(late.contains(node), takes_part);
    Some(QueueFacts {
        kind: newest.kind,
        durable: newest.durable,
        leader,
        online: newest.members.iter().filter(is_online).copied().collect(),
        members: newest.members.clone(),
        arguments: newest.arguments.clone(),
    })
}

fn most_named(names: impl Iterator<Item = i32>) -> Option<i32> {
    let mut votes: BTreeMap<i32, usize> = BTreeMap::new();
    names.for_each(|name| *votes.entry(name).or_default() += 1);
    votes.into_iter().max_by_key(|(_, count)| *count).map(|(name, _)| name)
}

fn is_atom(term: Option<&Term>, name: &str) -> bool {
    term.and_then(atom_text) == Some(name)
}

fn node_in(facts: &[Term], name: &str) -> Option<i32> {
    node_number(map_get(facts, name)?)
}

/// The number of `rabbit@rmqN`.
fn node_number(term: &Term) -> Option<i32> {
    let name = atom_text(term)?.split_once('@')?.1;
    let digits = name.trim_start_matches(|letter: char| !letter.is_ascii_digit());
    digits.parse().ok()
}

fn pairs(term: &Term) -> BTreeMap<String, String> {
    list(term)
        .iter()
        .filter_map(|pair| match pair {
            Term::Tuple(pair) => Some((text(pair.elements.first()?), text(pair.elements.get(1)?))),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(leader: Option<i32>, role: &str, term: i64) -> View {
        View {
            kind: QueueType::Quorum,
            durable: true,
            leader,
            members: vec![1, 2, 3],
            role: (!role.is_empty()).then(|| role.to_owned()),
            term,
            arguments: BTreeMap::new(),
        }
    }

    fn leader(views: &[(i32, View)], dead: &[i32]) -> Option<i32> {
        combine(&views.iter().cloned().collect(), dead, &[]).expect("known").leader
    }

    #[test]
    fn a_frozen_leader_keeps_its_title_until_the_others_have_elected() {
        let follower = |term| view(Some(1), "follower", term);
        assert_eq!(leader(&[(2, follower(1)), (3, follower(1))], &[]), Some(1));
        let elected = [(2, view(Some(2), "leader", 2)), (3, view(Some(2), "follower", 2))];
        assert_eq!(leader(&elected, &[]), Some(2));
    }

    #[test]
    fn a_leader_that_comes_back_with_an_old_term_does_not_lead() {
        let views = [(1, view(Some(1), "leader", 1)), (2, view(Some(2), "leader", 2))];
        assert_eq!(leader(&views, &[]), Some(2));
    }

    #[test]
    fn a_dead_leader_or_one_that_knows_nothing_of_it_does_not_lead() {
        let follower = view(Some(1), "follower", 1);
        assert_eq!(leader(&[(2, follower.clone()), (3, follower.clone())], &[1]), None);
        assert_eq!(leader(&[(1, view(None, "", 0)), (2, follower)], &[]), None);
    }

    #[test]
    fn online_are_the_members_that_answer_and_have_a_member_running() {
        let views: BTreeMap<i32, View> = [(1, view(Some(1), "leader", 1)), (2, view(Some(1), "", 0))].into();
        let online = |late: &[i32]| combine(&views, &[], late).expect("known").online;
        assert_eq!(online(&[]), [1]);
        assert_eq!(online(&[3]), [1, 3], "one that is late once is not gone");
    }

    #[test]
    fn a_stream_ends_where_a_majority_of_the_newest_epoch_wrote() {
        let copy = |writes, epoch, last| Copy { writes, epoch, first: 0, last };
        let all = [copy(true, 1, 9), copy(false, 1, 7), copy(false, 1, 5)];
        assert_eq!(bounds(&all, 2), Some((0, 8)));
        assert_eq!(bounds(&all[..1], 2), None);
        assert_eq!(bounds(&[copy(true, 1, -1)], 1), Some((0, 0)));
        // A writer that was just elected is alone; what the others say is of the epoch before.
        assert_eq!(bounds(&[copy(true, 2, 9), copy(false, 1, 9)], 2), None);
        assert_eq!(bounds(&[copy(true, 2, 9), copy(false, 1, 12), copy(false, 2, 8)], 2), Some((0, 9)));
    }

    #[test]
    fn a_copy_of_a_stream_takes_part_when_it_runs_in_the_newest_epoch() {
        let stream = |role: &str, term| View { kind: QueueType::Stream, ..view(Some(1), role, term) };
        let facts = |views: &[(i32, View)]| {
            let facts = combine(&views.iter().cloned().collect(), &[], &[]).expect("known");
            (facts.leader, facts.online)
        };
        let elected = [(1, stream("", 0)), (2, stream("leader", 2)), (3, stream("follower", 1))];
        assert_eq!(facts(&elected), (Some(2), vec![2]));
        let complete = [(1, stream("follower", 2)), (2, stream("leader", 2)), (3, stream("follower", 2))];
        assert_eq!(facts(&complete), (Some(2), vec![1, 2, 3]));
        let frozen = [(2, stream("follower", 1)), (3, stream("follower", 1))];
        assert_eq!(facts(&frozen), (Some(1), vec![2, 3]));
    }

    #[test]
    fn nodes_are_known_by_the_number_in_their_host_name() {
        assert_eq!(node_number(&eetf::Atom::from("rabbit@rmq12").into()), Some(12));
        assert_eq!(node_number(&eetf::Atom::from("none").into()), None);
    }
}
