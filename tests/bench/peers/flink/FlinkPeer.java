import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.Map;
import java.util.Optional;
import java.util.Properties;
import java.util.TreeMap;
import java.util.stream.Stream;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.typeinfo.TypeHint;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.connector.base.DeliveryGuarantee;
import org.apache.flink.connector.kafka.sink.KafkaSink;
import org.apache.flink.connector.kafka.source.KafkaSource;
import org.apache.flink.connector.kafka.source.enumerator.initializer.OffsetsInitializer;
import org.apache.flink.core.execution.JobClient;
import org.apache.flink.core.execution.SavepointFormatType;
import org.apache.flink.streaming.api.datastream.SingleOutputStreamOperator;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.clients.producer.ProducerRecord;
import sun.misc.Signal;

/**
 * The same job on Apache Flink: orders to donations and to running totals in six windows, exactly once.
 *
 * <p>As a team that knows Flink well and wants speed above all would write it: operators of its own in place of
 * functions, bytes in and out, nothing copied between chained operators, plain objects on the heap as state, partial
 * sums per checkpoint before the shuffle. Everything runs in this one JVM, on Flink's local cluster. What it leaves out
 * stands in docs/performance.md.
 *
 * <p>Arguments: pairs of name and value, see {@link #main}. It goes on from the newest checkpoint or savepoint under
 * `state-dir`. SIGTERM stops it with a savepoint, so that all that was written is committed.
 */
public final class FlinkPeer {
    private static final int TRANSACTION_TIMEOUT_MS = 600_000; // a broker allows 15 minutes; the sink's default is an hour

    public static void main(String[] words) throws Exception {
        Map<String, String> given = new TreeMap<>();
        for (int i = 0; i < words.length; i += 2) {
            given.put(words[i], words[i + 1]);
        }
        Path state = Path.of(given.get("state-dir"));
        System.setProperty("java.io.tmpdir", state.toString()); // where native libraries are unpacked
        StreamExecutionEnvironment environment =
                StreamExecutionEnvironment.createLocalEnvironment(1, configuration(given, state));
        build(environment, given);
        JobClient job = environment.executeAsync("everycent");
        Signal.handle(new Signal("TERM"), signal -> job.stopWithSavepoint(
                        false, savepoints(state).toUri().toString(), SavepointFormatType.NATIVE)
                .whenComplete((path, error) -> end(error)));
        job.getJobExecutionResult().whenComplete((result, error) -> {
            if (error != null) {
                end(error);
            }
        });
    }

    private static void end(Throwable error) {
        if (error != null) {
            error.printStackTrace();
        }
        new Thread(() -> System.exit(error == null ? 0 : 1)).start(); // its hooks wait for the thread that we are on
    }

    /** Two stages, as ours: by buyer, then by project. */
    private static void build(StreamExecutionEnvironment environment, Map<String, String> given) {
        String prefix = given.get("prefix");
        var bytesOut = TypeInformation.of(new TypeHint<ProducerRecord<byte[], byte[]>>() {});
        KafkaSource<Order> orders = KafkaSource.<Order>builder()
                .setBootstrapServers(given.get("broker"))
                .setGroupId(given.get("app-id"))
                .setTopics(prefix + "orders")
                .setStartingOffsets(OffsetsInitializer.earliest())
                .setDeserializer(new Order.Schema())
                .setProperties(consumer())
                .build();
        SingleOutputStreamOperator<ProducerRecord<byte[], byte[]>> donations = environment
                .fromSource(orders, WatermarkStrategy.noWatermarks(), "orders", TypeInformation.of(Order.class))
                .uid("orders")
                .transform("split", bytesOut, new SplitOrders(prefix, Long.parseLong(given.get("lateness-ms"))))
                .uid("split");
        donations.sinkTo(sink(given, "split")).name("donations").uid("donations");
        donations
                .getSideOutput(SplitOrders.SUMS)
                .keyBy(sums -> sums.f0, Types.STRING)
                .transform("total", bytesOut, new TotalProjects(prefix, given.get("zone")))
                .uid("total")
                .sinkTo(sink(given, "total"))
                .name("totals")
                .uid("totals");
    }

    private static Configuration configuration(Map<String, String> given, Path state) throws IOException {
        Configuration all = new Configuration();
        all.setString("pipeline.object-reuse", "true");
        all.setString("pipeline.auto-watermark-interval", "0 ms");
        all.setString("restart-strategy.type", "disable"); // a failure ends the run, and is told
        all.setString("state.backend.type", "hashmap");
        all.setString("execution.checkpointing.mode", "EXACTLY_ONCE");
        all.setString("execution.checkpointing.interval", given.get("commit-ms") + " ms");
        all.setString("execution.checkpointing.storage", "filesystem");
        all.setString("execution.checkpointing.dir", state.resolve("checkpoints").toUri().toString());
        all.setString("execution.checkpointing.externalized-checkpoint-retention", "RETAIN_ON_CANCELLATION");
        all.setString("io.tmp.dirs", Files.createDirectories(state.resolve("tmp")).toString());
        newest(state).ifPresent(from -> all.setString("execution.state-recovery.path", from.toUri().toString()));
        return all;
    }

    /** The checkpoint or savepoint that was completed last: what is complete has its metadata. */
    private static Optional<Path> newest(Path state) throws IOException {
        try (Stream<Path> all = Files.walk(state)) {
            return all.filter(each -> each.endsWith("_metadata"))
                    .max(Comparator.comparing(each -> each.toFile().lastModified()))
                    .map(Path::getParent);
        }
    }

    private static Path savepoints(Path state) {
        return state.resolve("savepoints");
    }

    private static Properties consumer() {
        Properties all = new Properties();
        all.put(ConsumerConfig.ISOLATION_LEVEL_CONFIG, "read_committed");
        all.put(ConsumerConfig.MAX_POLL_RECORDS_CONFIG, "10000");
        all.put(ConsumerConfig.MAX_PARTITION_FETCH_BYTES_CONFIG, Integer.toString(1 << 20));
        all.put(ConsumerConfig.RECEIVE_BUFFER_CONFIG, Integer.toString(1 << 20));
        all.put("register.consumer.metrics", "false");
        all.put("partition.discovery.interval.ms", "-1");
        return all;
    }

    private static KafkaSink<ProducerRecord<byte[], byte[]>> sink(Map<String, String> given, String stage) {
        Properties all = new Properties();
        all.put(ProducerConfig.COMPRESSION_TYPE_CONFIG, given.get("compression"));
        all.put(ProducerConfig.COMPRESSION_ZSTD_LEVEL_CONFIG, "1"); // as ours
        all.put(ProducerConfig.BATCH_SIZE_CONFIG, Integer.toString(256 * 1024)); // as ours
        all.put(ProducerConfig.LINGER_MS_CONFIG, "100"); // the default of Kafka Streams
        all.put(ProducerConfig.BUFFER_MEMORY_CONFIG, Integer.toString(128 << 20));
        all.put(ProducerConfig.MAX_REQUEST_SIZE_CONFIG, Integer.toString(8 << 20));
        all.put(ProducerConfig.TRANSACTION_TIMEOUT_CONFIG, Integer.toString(TRANSACTION_TIMEOUT_MS));
        all.put("register.producer.metrics", "false");
        return KafkaSink.<ProducerRecord<byte[], byte[]>>builder()
                .setBootstrapServers(given.get("broker"))
                .setKafkaProducerConfig(all)
                .setDeliveryGuarantee(DeliveryGuarantee.EXACTLY_ONCE)
                .setTransactionalIdPrefix(given.get("app-id") + "-" + stage)
                .setRecordSerializer((record, context, timestamp) -> record) // operators make what is sent
                .build();
    }
}
