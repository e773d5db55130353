import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.IntStream;

import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.InvalidProducerEpochException;
import org.apache.kafka.common.errors.ProducerFencedException;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/**
 * Transactions of the second protocol (KIP-890) as Kafka's own Java clients speak it.
 *
 * <p>In: the addresses of the brokers. Out: a line per scene, and at the end how many have passed. A line that begins with
 * ">" asks whoever has started this program for something; a line on stdin says that it is done.
 */
public final class Transactions {
    private static final int PARTITIONS = 3;
    private static final Duration PATIENCE = Duration.ofSeconds(60);
    private static final Duration POLL = Duration.ofMillis(100);

    /** A part of the test that stands for itself. */
    private interface Scene {
        void play() throws Exception;
    }

    private final String brokers;
    private final BufferedReader done = new BufferedReader(new InputStreamReader(System.in));
    /** Transactional ids that have committed something here. */
    private final Set<String> ids = new TreeSet<>();
    private int scenes;

    private Transactions(String brokers) {
        this.brokers = brokers;
    }

    public static void main(String[] arguments) throws Exception {
        Transactions here = new Transactions(arguments[0]);
        here.scene("a commit is seen and an abort is not", here::outcomes);
        here.scene("offsets count with the records that came of them", here::offsets);
        here.scene("a transaction may be empty", here::empty);
        here.scene("a zombie is fenced", here::zombie);
        here.scene("a producer whose transaction took too long aborts it and goes on", here::late);
        here.scene("commits and aborts outlive their coordinator", here::coordinatorKilled);
        here.scene("a transactional id changes from one protocol to the other and back", here::changed);
        here.scene("the coordinator has noted down the second protocol", here::notedDown);
        System.out.println("passed " + here.scenes);
    }

    private void scene(String name, Scene scene) throws Exception {
        scene.play();
        scenes++;
        System.out.println(name);
    }

    private void outcomes() throws Exception {
        create("outcomes");
        try (KafkaProducer<String, String> producer = transactional("outcomes", 60_000)) {
            transact(producer, "outcomes", "a", true);
            transact(producer, "outcomes", "b", false);
            transact(producer, "outcomes", "c", true);
        }
        expectCommitted("outcomes", List.of("a0", "a1", "a2", "c0", "c1", "c2"));
        expect(read("outcomes", "read_uncommitted").size(), 9, "records with the aborted ones");
    }

    /** Reads, writes and commits what it has read, in transactions some of which are aborted and done again. */
    private void offsets() throws Exception {
        create("source");
        create("sink");
        int count = 60;
        try (KafkaProducer<String, String> filler = new KafkaProducer<>(producerSettings())) {
            for (int number = 0; number < count; number++) {
                filler.send(new ProducerRecord<>("source", number % PARTITIONS, null, "r" + number));
            }
        }
        Properties settings = consumerSettings("read_committed");
        settings.put("group.id", "workers");
        settings.put("max.poll.records", "4");
        int handled = 0;
        long until = System.nanoTime() + PATIENCE.toNanos();
        try (KafkaProducer<String, String> producer = transactional("offsets", 60_000);
                KafkaConsumer<String, String> consumer = new KafkaConsumer<>(settings)) {
            consumer.subscribe(List.of("source"));
            for (int round = 0; handled < count; round++) {
                expectTime(until, "the group has handled " + handled);
                var records = consumer.poll(POLL);
                if (records.isEmpty()) {
                    continue;
                }
                producer.beginTransaction();
                Map<TopicPartition, OffsetAndMetadata> read = new HashMap<>();
                for (var record : records) {
                    producer.send(new ProducerRecord<>("sink", record.partition(), null, record.value()));
                    var partition = new TopicPartition(record.topic(), record.partition());
                    read.put(partition, new OffsetAndMetadata(record.offset() + 1));
                }
                producer.sendOffsetsToTransaction(read, consumer.groupMetadata());
                if (round % 3 == 1) {
                    producer.abortTransaction();
                    var committed = consumer.committed(consumer.assignment());
                    committed.forEach((partition, offset) ->
                            consumer.seek(partition, offset == null ? 0 : offset.offset()));
                } else {
                    producer.commitTransaction();
                    handled += records.count();
                }
            }
        }
        ids.add("offsets");
        List<String> all = IntStream.range(0, count).mapToObj(number -> "r" + number).sorted().toList();
        expectCommitted("sink", all);
    }

    private void empty() throws Exception {
        create("empty");
        try (KafkaProducer<String, String> producer = transactional("empty", 60_000)) {
            for (int round = 0; round < 2; round++) {
                producer.beginTransaction();
                producer.commitTransaction();
                producer.beginTransaction();
                producer.abortTransaction();
            }
            transact(producer, "empty", "a", true);
        }
        expectCommitted("empty", List.of("a0", "a1", "a2"));
    }

    private void zombie() throws Exception {
        create("zombie");
        try (KafkaProducer<String, String> zombie = transactional("zombie", 60_000)) {
            zombie.beginTransaction();
            sendEverywhere(zombie, "zombie", "old");
            try (KafkaProducer<String, String> successor = transactional("zombie", 60_000)) {
                expectFenced(zombie::commitTransaction);
                transact(successor, "zombie", "new", true);
            }
        }
        expectCommitted("zombie", List.of("new0", "new1", "new2"));
    }

    private void late() throws Exception {
        create("late");
        try (KafkaProducer<String, String> producer = transactional("late", 1_000)) {
            producer.beginTransaction();
            sendEverywhere(producer, "late", "old");
            Thread.sleep(3_000);
            producer.send(new ProducerRecord<>("late", 0, null, "too late"));
            try {
                producer.commitTransaction();
                throw new AssertionError("a transaction was committed that had been aborted");
            } catch (KafkaException expected) {
                producer.abortTransaction();
            }
            transact(producer, "late", "new", true);
        }
        expectCommitted("late", List.of("new0", "new1", "new2"));
    }

    /** The coordinator is killed at some moment and comes back, while one transaction follows the other. */
    private void coordinatorKilled() throws Exception {
        create("killed");
        List<String> committed = new ArrayList<>();
        try (KafkaProducer<String, String> producer = transactional("killed", 60_000)) {
            transact(producer, "killed", "first", true);
            List.of("first0", "first1", "first2").forEach(committed::add);
            System.out.println("> kill-coordinator killed");
            int after = 0;
            for (int round = 0; after < 20; round++) {
                // Some transactions go on when all is whole again.
                after += done.ready() ? 1 : 0;
                boolean commit = round % 3 != 1;
                String value = "t%04d-".formatted(round);
                transact(producer, "killed", value, commit);
                if (commit) {
                    IntStream.range(0, PARTITIONS).forEach(partition -> committed.add(value + partition));
                }
            }
            awaitDone();
        }
        expectCommitted("killed", committed.stream().sorted().toList());
    }

    private void changed() throws Exception {
        create("changed");
        ask("first-protocol changed a");
        try (KafkaProducer<String, String> producer = transactional("changed", 60_000)) {
            transact(producer, "changed", "b", true);
        }
        ask("first-protocol changed c");
        try (KafkaProducer<String, String> producer = transactional("changed", 60_000)) {
            transact(producer, "changed", "d", true);
        }
        List<String> expected = new ArrayList<>();
        for (String value : List.of("a", "b", "c", "d")) {
            IntStream.range(0, PARTITIONS).forEach(partition -> expected.add(value + partition));
        }
        expectCommitted("changed", expected);
    }

    /** Without this all that is above might have been spoken in the first protocol. */
    private void notedDown() {
        Properties settings = consumerSettings("read_uncommitted");
        settings.put("key.deserializer", ByteArrayDeserializer.class.getName());
        settings.put("value.deserializer", ByteArrayDeserializer.class.getName());
        Set<String> second = new TreeSet<>();
        try (KafkaConsumer<byte[], byte[]> consumer = new KafkaConsumer<>(settings)) {
            var partitions = consumer.partitionsFor("__transaction_state").stream()
                    .map(info -> new TopicPartition(info.topic(), info.partition())).toList();
            consumer.assign(partitions);
            var ends = consumer.endOffsets(partitions);
            consumer.seekToBeginning(partitions);
            long until = System.nanoTime() + PATIENCE.toNanos();
            while (ends.entrySet().stream().anyMatch(end -> consumer.position(end.getKey()) < end.getValue())) {
                expectTime(until, "the transaction log has no end");
                for (var record : consumer.poll(POLL)) {
                    // The version, and before the id its length.
                    String id = new String(record.key(), 4, record.key().length - 4, StandardCharsets.UTF_8);
                    if (record.value() != null && ByteBuffer.wrap(record.value()).getShort() == 1) {
                        second.add(id);
                    }
                }
            }
        }
        expect(second, ids, "transactional ids with records of the second protocol");
    }

    /** A record to each partition, and the end of the transaction. */
    private void transact(KafkaProducer<String, String> producer, String topic, String value, boolean commit) {
        producer.beginTransaction();
        sendEverywhere(producer, topic, value);
        if (commit) {
            producer.commitTransaction();
            ids.add(topic);
        } else {
            producer.abortTransaction();
        }
    }

    private void sendEverywhere(KafkaProducer<String, String> producer, String topic, String value) {
        for (int partition = 0; partition < PARTITIONS; partition++) {
            producer.send(new ProducerRecord<>(topic, partition, null, value + partition));
        }
        producer.flush();
    }

    private KafkaProducer<String, String> transactional(String id, int timeoutMs) {
        Properties settings = producerSettings();
        settings.put("transactional.id", id);
        settings.put("transaction.timeout.ms", timeoutMs);
        KafkaProducer<String, String> producer = new KafkaProducer<>(settings);
        producer.initTransactions();
        return producer;
    }

    private Properties producerSettings() {
        Properties settings = clientSettings();
        settings.put("key.serializer", StringSerializer.class.getName());
        settings.put("value.serializer", StringSerializer.class.getName());
        return settings;
    }

    private Properties consumerSettings(String isolation) {
        Properties settings = clientSettings();
        settings.put("key.deserializer", StringDeserializer.class.getName());
        settings.put("value.deserializer", StringDeserializer.class.getName());
        settings.put("isolation.level", isolation);
        settings.put("auto.offset.reset", "earliest");
        settings.put("enable.auto.commit", "false");
        return settings;
    }

    private Properties clientSettings() {
        Properties settings = new Properties();
        settings.put("bootstrap.servers", brokers);
        settings.put("reconnect.backoff.max.ms", "500");
        return settings;
    }

    private void create(String topic) throws Exception {
        try (Admin admin = Admin.create(clientSettings())) {
            admin.createTopics(List.of(new NewTopic(topic, PARTITIONS, (short) 3))).all().get();
        }
    }

    private void ask(String what) throws IOException {
        System.out.println("> " + what);
        awaitDone();
    }

    private void awaitDone() throws IOException {
        if (done.readLine() == null) {
            throw new IOException("nobody answers");
        }
    }

    /** All values up to the ends of the partitions, sorted. */
    private List<String> read(String topic, String isolation) {
        List<String> values = new ArrayList<>();
        try (KafkaConsumer<String, String> consumer = new KafkaConsumer<>(consumerSettings(isolation))) {
            var partitions = IntStream.range(0, PARTITIONS)
                    .mapToObj(partition -> new TopicPartition(topic, partition)).toList();
            consumer.assign(partitions);
            var ends = consumer.endOffsets(partitions);
            consumer.seekToBeginning(partitions);
            long until = System.nanoTime() + PATIENCE.toNanos();
            while (ends.entrySet().stream().anyMatch(end -> consumer.position(end.getKey()) < end.getValue())) {
                expectTime(until, topic + " has no end");
                consumer.poll(POLL).forEach(record -> values.add(record.value()));
            }
        }
        values.sort(null);
        return values;
    }

    /** The markers of the last transaction may still be on their way. */
    private void expectCommitted(String topic, List<String> expected) throws InterruptedException {
        long until = System.nanoTime() + PATIENCE.toNanos();
        List<String> found = read(topic, "read_committed");
        while (found.size() < expected.size()) {
            expectTime(until, topic + " has " + found);
            Thread.sleep(POLL.toMillis());
            found = read(topic, "read_committed");
        }
        expect(found, expected, "what is committed in " + topic);
    }

    private static void expectFenced(Runnable commit) {
        try {
            commit.run();
        } catch (ProducerFencedException | InvalidProducerEpochException fenced) {
            return;
        }
        throw new AssertionError("a zombie has committed");
    }

    private static void expectTime(long until, String what) {
        if (System.nanoTime() > until) {
            throw new AssertionError("no time is left: " + what);
        }
    }

    private static void expect(Object found, Object expected, String what) {
        if (!found.equals(expected)) {
            throw new AssertionError(what + ": " + found + " and not " + expected);
        }
    }
}
