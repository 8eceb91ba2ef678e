import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.processor.internals.InternalProcessorContext;
import org.apache.kafka.streams.processor.internals.ProcessorNode;
import org.apache.kafka.streams.state.StoreBuilder;

/**
 * What one commit of one partition of orders holds, by project and minute; and how many donations the partition has.
 *
 * <p>With a commit it sends, for each project, one record to the second stage: the partition and its watermark, then
 * (minute, fen, donations) as often as there are minutes. Only the number of donations outlives a commit.
 */
final class PartialSums extends CommitStore {
    static final String NAME = "partial-sums";
    static final int HEAD_BYTES = Integer.BYTES + Long.BYTES;
    private static final long MINUTE_MS = 60_000;
    private static final byte[] SEQ = "seq".getBytes(StandardCharsets.US_ASCII);

    /** Sums of a project, in the order in which its minutes came; the last one is nearly always the next one. */
    private static final class Sums {
        long[] minutes = new long[2];
        long[] fens = new long[2];
        int[] donations = new int[2];
        int count;

        void add(long minute, long fen) {
            int at = count - 1;
            while (at >= 0 && minutes[at] != minute) {
                at--;
            }
            if (at < 0) {
                at = count++;
                if (at == minutes.length) {
                    minutes = java.util.Arrays.copyOf(minutes, 2 * at);
                    fens = java.util.Arrays.copyOf(fens, 2 * at);
                    donations = java.util.Arrays.copyOf(donations, 2 * at);
                }
                minutes[at] = minute;
            }
            fens[at] += fen;
            donations[at]++;
        }
    }

    private final HashMap<String, Sums> byProject = new HashMap<>();
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
        byProject.computeIfAbsent(project, p -> new Sums()).add(timeMs - timeMs % MINUTE_MS, fen);
    }

    @Override
    public void flushCache() {
        if (byProject.isEmpty()) {
            return;
        }
        ProcessorNode<?, ?, ?, ?> before = internals.currentNode();
        internals.setCurrentNode(node);
        int partition = context.taskId().partition();
        long now = System.currentTimeMillis();
        byProject.forEach((project, sums) -> {
            ByteBuffer value = ByteBuffer.allocate(HEAD_BYTES + sums.count * (2 * Long.BYTES + Integer.BYTES));
            value.putInt(partition).putLong(highestMs - latenessMs);
            for (int i = 0; i < sums.count; i++) {
                value.putLong(sums.minutes[i]).putLong(sums.fens[i]).putInt(sums.donations[i]);
            }
            byte[] key = project.getBytes(StandardCharsets.UTF_8);
            context.forward(new Record<>(key, value.array(), now), KafkaStreamsPeer.DELTAS);
        });
        internals.setCurrentNode(before);
        byProject.clear();
        log(SEQ, ByteBuffer.allocate(2 * Long.BYTES).putLong(seq).putLong(highestMs).array());
    }

    @Override
    protected void restore(byte[] key, byte[] value) {
        ByteBuffer found = ByteBuffer.wrap(value);
        seq = found.getLong();
        highestMs = found.getLong();
    }
}
