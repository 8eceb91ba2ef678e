import java.io.IOException;
import java.util.Arrays;
import org.apache.flink.api.common.state.ListState;
import org.apache.flink.api.common.state.ListStateDescriptor;
import org.apache.flink.api.common.typeinfo.PrimitiveArrayTypeInfo;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.api.java.tuple.Tuple2;
import org.apache.flink.runtime.state.StateInitializationContext;
import org.apache.flink.runtime.state.StateSnapshotContext;
import org.apache.flink.streaming.api.operators.AbstractStreamOperator;
import org.apache.flink.streaming.api.operators.OneInputStreamOperator;
import org.apache.flink.streaming.runtime.streamrecord.StreamRecord;
import org.apache.flink.util.OutputTag;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.producer.ProducerRecord;

/**
 * An order in; a donation out for each pledged line, and its share added to the partial sums, which go to the second
 * stage just before the barrier of a checkpoint does: the moment that Flink has for it.
 *
 * <p>What isn't JSON goes to rejected-orders; repeats aren't dropped. Of its state only the number of donations of each
 * partition and the highest event time there outlive a checkpoint.
 */
final class SplitOrders extends AbstractStreamOperator<ProducerRecord<byte[], byte[]>>
        implements OneInputStreamOperator<Order, ProducerRecord<byte[], byte[]>> {
    static final OutputTag<Tuple2<String, byte[]>> SUMS =
            new OutputTag<>("sums", Types.TUPLE(Types.STRING, PrimitiveArrayTypeInfo.BYTE_PRIMITIVE_ARRAY_TYPE_INFO));
    private static final long serialVersionUID = 1;
    private static final long NEVER = Long.MIN_VALUE;

    private final String donations;
    private final String rejected;
    private final long latenessMs;

    private transient OrderReader order;
    private transient ProjectSums sums;
    private transient StreamRecord<ProducerRecord<byte[], byte[]>> out;
    private transient long[] seqs;
    private transient long[] highestMs;
    private transient ListState<long[]> kept; // partition, its next number, its highest event time

    SplitOrders(String prefix, long latenessMs) {
        donations = prefix + "donations";
        rejected = prefix + "rejected-orders";
        this.latenessMs = latenessMs;
    }

    @Override
    public void initializeState(StateInitializationContext context) throws Exception {
        super.initializeState(context);
        order = new OrderReader();
        sums = new ProjectSums();
        out = new StreamRecord<>(null);
        seqs = new long[0];
        highestMs = new long[0];
        // Everybody gets all of it, as nobody knows yet which partitions will be whose; the newest of each counts.
        kept = context.getOperatorStateStore()
                .getUnionListState(new ListStateDescriptor<>("kept", PrimitiveArrayTypeInfo.LONG_PRIMITIVE_ARRAY_TYPE_INFO));
        for (long[] each : kept.get()) {
            int partition = (int) each[0];
            know(partition);
            seqs[partition] = Math.max(seqs[partition], each[1]);
            highestMs[partition] = Math.max(highestMs[partition], each[2]);
        }
    }

    @Override
    public void processElement(StreamRecord<Order> element) {
        ConsumerRecord<byte[], byte[]> record = element.getValue().record;
        int partition = record.partition();
        try {
            order.read(record.value());
        } catch (IOException error) {
            output.collect(out.replace(new ProducerRecord<>(rejected, record.key(), record.value())));
            return;
        }
        know(partition);
        long at = order.completedAt;
        for (int i = 0; i < order.lineCount; i++) {
            if (order.projects[i] != null) {
                byte[] donation = order.donation(i, seqs[partition]++, record.offset());
                output.collect(out.replace(new ProducerRecord<>(donations, partition, at, record.key(), donation)));
                sums.add(order.projects[i], at, order.fens[i]);
                highestMs[partition] = Math.max(highestMs[partition], at);
            }
        }
    }

    @Override
    public void prepareSnapshotPreBarrier(long checkpointId) {
        if (sums.isEmpty()) {
            return;
        }
        long slowestMs = Arrays.stream(highestMs).filter(each -> each != NEVER).min().getAsLong();
        StreamRecord<Tuple2<String, byte[]>> sum = new StreamRecord<>(new Tuple2<>());
        sums.drain(getRuntimeContext().getTaskInfo().getIndexOfThisSubtask(), slowestMs - latenessMs, (project, value) -> {
            sum.getValue().setFields(project, value);
            output.collect(SUMS, sum);
        });
    }

    @Override
    public void snapshotState(StateSnapshotContext context) throws Exception {
        super.snapshotState(context);
        kept.clear();
        for (int partition = 0; partition < seqs.length; partition++) {
            if (highestMs[partition] != NEVER) {
                kept.add(new long[] {partition, seqs[partition], highestMs[partition]});
            }
        }
    }

    private void know(int partition) {
        int known = seqs.length;
        if (partition >= known) {
            seqs = Arrays.copyOf(seqs, partition + 1);
            highestMs = Arrays.copyOf(highestMs, partition + 1);
            Arrays.fill(highestMs, known, partition + 1, NEVER);
        }
    }
}
