import java.nio.ByteBuffer;
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
        ByteBuffer sums = ByteBuffer.wrap(record.value());
        totals.hear(sums.getInt(), sums.getLong());
        ProjectTotals.Project project = totals.project(new String(record.key(), StandardCharsets.UTF_8));
        while (sums.hasRemaining()) {
            Windows.Window[] all = totals.windows.of(sums.getLong());
            long fen = sums.getLong();
            int donations = sums.getInt();
            for (Windows.Window window : all) {
                totals.add(project, window, fen, donations);
            }
        }
    }
}
