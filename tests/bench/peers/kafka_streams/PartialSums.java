import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.processor.internals.InternalProcessorContext;
import org.apache.kafka.streams.processor.internals.ProcessorNode;
import org.apache.kafka.streams.state.StoreBuilder;

/**
 * What one commit of one partition of orders holds, by project and minute; and how many donations the partition has.
 *
 * <p>With a commit it sends each project's sums to the second stage. Only the number of donations outlives a commit.
 */
final class PartialSums extends CommitStore {
    static final String NAME = "partial-sums";
    private static final byte[] SEQ = "seq".getBytes(StandardCharsets.US_ASCII);

    private final ProjectSums sums = new ProjectSums();
    private ProcessorContext<byte[], byte[]> context;
    private ProcessorNode<?, ?, ?, ?> node;
    private long latenessMs;
    private long highestMs;
    private long seq;

    private PartialSums() {
        super(NAME);
    }

    static StoreBuilder<PartialSums> builder() {
        return new CommitStoreBuilder<>(NAME, PartialSums::new);
    }

    /** The processor that the sums are sent on behalf of. */
    void sendTo(ProcessorContext<byte[], byte[]> context, long latenessMs) {
        this.context = context;
        this.node = ((InternalProcessorContext<?, ?>) context).currentNode();
        this.latenessMs = latenessMs;
    }

    long nextSeq() {
        return seq++;
    }

    void add(String project, long timeMs, long fen) {
        highestMs = Math.max(highestMs, timeMs);
        sums.add(project, timeMs, fen);
    }

    @Override
    public void flushCache() {
        if (sums.isEmpty()) {
            return;
        }
        ProcessorNode<?, ?, ?, ?> before = internals.currentNode();
        internals.setCurrentNode(node);
        long now = System.currentTimeMillis();
        sums.drain(context.taskId().partition(), highestMs - latenessMs, (project, value) -> {
            byte[] key = project.getBytes(StandardCharsets.UTF_8);
            context.forward(new Record<>(key, value, now), KafkaStreamsPeer.DELTAS);
        });
        internals.setCurrentNode(before);
        log(SEQ, ByteBuffer.allocate(2 * Long.BYTES).putLong(seq).putLong(highestMs).array());
    }

    @Override
    protected void restore(byte[] key, byte[] value) {
        ByteBuffer found = ByteBuffer.wrap(value);
        seq = found.getLong();
        highestMs = found.getLong();
    }
}
