import java.io.IOException;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;

/**
 * An order in; a donation out for each pledged line, and its share added to the partial sums of this commit.
 *
 * <p>What isn't JSON goes to rejected-orders; repeats aren't dropped.
 */
final class SplitOrders implements Processor<byte[], byte[], byte[], byte[]> {
    private final long latenessMs;
    private final OrderReader order = new OrderReader();
    private ProcessorContext<byte[], byte[]> context;
    private PartialSums sums;

    SplitOrders(long latenessMs) {
        this.latenessMs = latenessMs;
    }

    @Override
    public void init(ProcessorContext<byte[], byte[]> context) {
        this.context = context;
        sums = context.getStateStore(PartialSums.NAME);
        sums.sendTo(context, latenessMs);
    }

    @Override
    public void process(Record<byte[], byte[]> record) {
        try {
            order.read(record.value());
        } catch (IOException error) {
            context.forward(record, KafkaStreamsPeer.REJECTED);
            return;
        }
        long offset = context.recordMetadata().orElseThrow().offset();
        for (int i = 0; i < order.lineCount; i++) {
            if (order.projects[i] != null) {
                byte[] donation = order.donation(i, sums.nextSeq(), offset);
                context.forward(new Record<>(record.key(), donation, order.completedAt), KafkaStreamsPeer.DONATIONS);
                sums.add(order.projects[i], order.completedAt, order.fens[i]);
            }
        }
    }
}
