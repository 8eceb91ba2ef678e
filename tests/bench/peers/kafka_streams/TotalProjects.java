import java.nio.charset.StandardCharsets;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;

/** Partial sums in, added to the totals of their project in all six windows; the store writes them with the commit. */
final class TotalProjects implements Processor<byte[], byte[], Void, Void> {
    private ProjectTotals totals;

    @Override
    public void init(ProcessorContext<Void, Void> context) {
        totals = context.getStateStore(ProjectTotals.NAME);
    }

    @Override
    public void process(Record<byte[], byte[]> record) {
        totals.add(new String(record.key(), StandardCharsets.UTF_8), record.value());
    }
}
