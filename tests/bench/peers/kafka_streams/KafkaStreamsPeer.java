import java.util.Map;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import java.util.TreeMap;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;

/**
 * The same job on Kafka Streams: orders to donations and to running totals in six windows, exactly once.
 *
 * <p>As a team that knows Kafka Streams well and wants speed above all would write it: Processor API, bytes in and out,
 * plain objects on the heap as state (no store of bytes, nothing is decoded twice), partial sums per commit before the
 * shuffle, and the changelog of the totals is what readers read, so each total is written once. What it leaves out
 * stands in docs/performance.md.
 *
 * <p>Arguments: pairs of name and value, see {@link #main}. Prints "running" once all partitions are being processed.
 */
public final class KafkaStreamsPeer {
    static final String DONATIONS = "to-donations";
    static final String REJECTED = "to-rejected";
    static final String DELTAS = "to-deltas";

    public static void main(String[] words) throws InterruptedException {
        Map<String, String> given = new TreeMap<>();
        for (int i = 0; i < words.length; i += 2) {
            given.put(words[i], words[i + 1]);
        }
        KafkaStreams streams = new KafkaStreams(topology(given), configuration(given));
        CountDownLatch ended = new CountDownLatch(1);
        streams.setStateListener((now, before) -> {
            if (now == KafkaStreams.State.RUNNING) {
                System.out.println("running");
            } else if (now == KafkaStreams.State.ERROR) {
                System.out.println("ended by an error");
                ended.countDown();
            }
        });
        streams.setUncaughtExceptionHandler(error -> {
            error.printStackTrace();
            return org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse
                    .SHUTDOWN_CLIENT;
        });
        Runtime.getRuntime().addShutdownHook(new Thread(streams::close));
        streams.start();
        ended.await();
        Runtime.getRuntime().halt(1);
    }

    /** Two stages, as ours: by buyer, then by project. */
    private static Topology topology(Map<String, String> given) {
        String prefix = given.get("prefix");
        var bytesIn = Serdes.ByteArray().deserializer();
        var bytesOut = Serdes.ByteArray().serializer();
        long latenessMs = Long.parseLong(given.get("lateness-ms"));
        Topology topology = new Topology();
        topology.addSource("orders", bytesIn, bytesIn, prefix + "orders");
        topology.addProcessor("split", () -> new SplitOrders(latenessMs), "orders");
        topology.addStateStore(PartialSums.builder(), "split");
        topology.addSink(DONATIONS, prefix + "donations", bytesOut, bytesOut, "split");
        topology.addSink(REJECTED, prefix + "rejected-orders", bytesOut, bytesOut, "split");
        topology.addSink(DELTAS, prefix + "project-deltas", bytesOut, bytesOut, "split");
        topology.addSource("deltas", bytesIn, bytesIn, prefix + "project-deltas");
        topology.addProcessor("total", TotalProjects::new, "deltas");
        topology.addStateStore(ProjectTotals.builder(given.get("zone")), "total");
        return topology;
    }

    private static Properties configuration(Map<String, String> given) {
        Properties all = new Properties();
        all.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, given.get("broker"));
        all.put(StreamsConfig.APPLICATION_ID_CONFIG, given.get("app-id"));
        all.put(StreamsConfig.STATE_DIR_CONFIG, given.get("state-dir"));
        all.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
        all.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, given.get("threads"));
        all.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, given.get("commit-ms"));
        all.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, 0); // our stores are caches themselves
        all.put(StreamsConfig.BUFFERED_RECORDS_PER_PARTITION_CONFIG, 20_000);
        all.put(StreamsConfig.ENABLE_METRICS_PUSH_CONFIG, false);
        all.put(StreamsConfig.consumerPrefix(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG), "earliest");
        all.put(StreamsConfig.consumerPrefix(ConsumerConfig.SESSION_TIMEOUT_MS_CONFIG), given.get("session-ms"));
        all.put(StreamsConfig.consumerPrefix(ConsumerConfig.MAX_POLL_RECORDS_CONFIG), 10_000);
        all.put(StreamsConfig.consumerPrefix(ConsumerConfig.MAX_PARTITION_FETCH_BYTES_CONFIG), 1 << 20);
        all.put(StreamsConfig.consumerPrefix(ConsumerConfig.RECEIVE_BUFFER_CONFIG), 1 << 20);
        all.put(StreamsConfig.producerPrefix(ProducerConfig.COMPRESSION_TYPE_CONFIG), given.get("compression"));
        all.put(StreamsConfig.producerPrefix(ProducerConfig.COMPRESSION_ZSTD_LEVEL_CONFIG), 1); // as ours
        all.put(StreamsConfig.producerPrefix(ProducerConfig.BATCH_SIZE_CONFIG), 256 * 1024); // as ours
        all.put(StreamsConfig.producerPrefix(ProducerConfig.LINGER_MS_CONFIG), 100); // the default of Kafka Streams
        all.put(StreamsConfig.producerPrefix(ProducerConfig.BUFFER_MEMORY_CONFIG), 128 << 20);
        all.put(StreamsConfig.producerPrefix(ProducerConfig.MAX_REQUEST_SIZE_CONFIG), 8 << 20);
        return all;
    }
}
