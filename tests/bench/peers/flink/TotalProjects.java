import java.io.DataInputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.ArrayList;
import java.util.List;
import org.apache.flink.api.java.tuple.Tuple2;
import org.apache.flink.core.memory.DataOutputSerializer;
import org.apache.flink.runtime.state.KeyGroupRangeAssignment;
import org.apache.flink.runtime.state.KeyGroupStatePartitionStreamProvider;
import org.apache.flink.runtime.state.KeyedStateCheckpointOutputStream;
import org.apache.flink.runtime.state.StateInitializationContext;
import org.apache.flink.runtime.state.StateSnapshotContext;
import org.apache.flink.streaming.api.operators.AbstractStreamOperator;
import org.apache.flink.streaming.api.operators.OneInputStreamOperator;
import org.apache.flink.streaming.runtime.streamrecord.StreamRecord;
import org.apache.kafka.clients.producer.ProducerRecord;

/**
 * Partial sums in, added to the totals of their project in all six windows; what changed is encoded and written once a
 * checkpoint, just before its barrier goes on.
 *
 * <p>The totals are plain objects, and go into a checkpoint as raw keyed state. Flink wants all of it each time, but only
 * what changed is encoded: it goes to the end of its project's log, some dozen bytes a total, which is written as it is.
 * When it is restored the last of a total counts; a log that has grown to twice what it must hold is made anew. In a
 * state table of Flink's each total would be encoded each time, and be copied if it changes meanwhile.
 */
final class TotalProjects extends AbstractStreamOperator<ProducerRecord<byte[], byte[]>>
        implements OneInputStreamOperator<Tuple2<String, byte[]>, ProducerRecord<byte[], byte[]>> {
    private static final long serialVersionUID = 1;
    private static final long MINUTE_MS = 60_000;
    private static final int CHUNK_BYTES = 1 << 16;
    private static final int LOG_BYTES = 64; // to begin with

    private final String topic;
    private final String zone;

    private transient RunningTotals totals;
    private transient StreamRecord<ProducerRecord<byte[], byte[]>> out;
    private transient List<List<RunningTotals.Project>> byKeyGroup;
    private transient List<Log> logs; // by the project's number

    /** What a checkpoint holds of a project's totals. */
    private static final class Log {
        final DataOutputSerializer bytes = new DataOutputSerializer(LOG_BYTES);
        int count;
    }

    TotalProjects(String prefix, String zone) {
        topic = prefix + "project-totals";
        this.zone = zone;
    }

    @Override
    public void processElement(StreamRecord<Tuple2<String, byte[]>> element) {
        totals.add(element.getValue().f0, element.getValue().f1);
    }

    @Override
    public void prepareSnapshotPreBarrier(long checkpointId) {
        totals.drain((total, key, value) -> {
            output.collect(out.replace(new ProducerRecord<>(topic, key, value)));
            append(total, log(total.project));
        });
    }

    @Override
    protected boolean isUsingCustomRawKeyedState() {
        return true;
    }

    @Override
    public void initializeState(StateInitializationContext context) throws Exception {
        super.initializeState(context);
        totals = new RunningTotals(zone);
        out = new StreamRecord<>(null);
        byKeyGroup = new ArrayList<>();
        for (int i = 0; i < keyGroups(); i++) {
            byKeyGroup.add(new ArrayList<>());
        }
        logs = new ArrayList<>();
        for (KeyGroupStatePartitionStreamProvider each : context.getRawKeyedStateInputs()) {
            restore(new DataInputStream(each.getStream()));
        }
    }

    @Override
    public void snapshotState(StateSnapshotContext context) throws Exception {
        super.snapshotState(context);
        KeyedStateCheckpointOutputStream to = context.getRawKeyedOperatorStateOutput();
        DataOutputSerializer buffer = new DataOutputSerializer(2 * CHUNK_BYTES);
        for (int keyGroup : to.getKeyGroupList()) {
            to.startNewKeyGroup(keyGroup);
            buffer.writeLong(totals.watermarkMs());
            buffer.writeInt(byKeyGroup.get(keyGroup).size());
            for (RunningTotals.Project project : byKeyGroup.get(keyGroup)) {
                write(project, buffer);
                if (buffer.length() >= CHUNK_BYTES) {
                    flush(buffer, to);
                }
            }
            flush(buffer, to);
        }
    }

    private int keyGroups() {
        return getRuntimeContext().getTaskInfo().getMaxNumberOfParallelSubtasks();
    }

    private static void flush(DataOutputSerializer buffer, KeyedStateCheckpointOutputStream to) throws IOException {
        to.write(buffer.getSharedBuffer(), 0, buffer.length());
        buffer.clear();
    }

    private void write(RunningTotals.Project project, DataOutputSerializer to) throws IOException {
        Log log = logs.get(project.number);
        if (log.count > 2 * project.all.size()) {
            log.bytes.clear();
            log.count = 0;
            project.all.values().forEach(total -> append(total, log));
        }
        to.writeUTF(project.id);
        to.writeInt(log.count);
        to.write(log.bytes.getSharedBuffer(), 0, log.bytes.length());
    }

    private Log log(RunningTotals.Project project) {
        for (int known = logs.size(); known <= project.number; known++) {
            RunningTotals.Project next = totals.projects().get(known);
            byKeyGroup.get(KeyGroupRangeAssignment.assignToKeyGroup(next.id, keyGroups())).add(next);
            logs.add(new Log());
        }
        return logs.get(project.number);
    }

    private static void append(RunningTotals.Total total, Log log) {
        try {
            log.bytes.writeByte(total.window.kind);
            number(total.window.startMs / MINUTE_MS, log.bytes);
            number(total.fen, log.bytes);
            number(total.donations, log.bytes);
            number(total.lateFen, log.bytes);
            number(total.revision, log.bytes);
        } catch (IOException error) {
            throw new UncheckedIOException(error); // of memory: it can't be
        }
        log.count++;
    }

    private void restore(DataInputStream from) throws IOException {
        totals.restoreWatermark(from.readLong());
        for (int projects = from.readInt(); projects > 0; projects--) {
            RunningTotals.Project project = totals.project(from.readUTF());
            for (int count = from.readInt(); count > 0; count--) {
                RunningTotals.Total total = totals.total(project, from.readByte(), number(from) * MINUTE_MS);
                total.fen = number(from);
                total.donations = number(from);
                total.lateFen = number(from);
                total.revision = number(from);
            }
            project.all.values().forEach(total -> append(total, log(project)));
        }
    }

    /** Seven bits a byte, the low ones first: most numbers are small. */
    private static void number(long value, DataOutputSerializer to) throws IOException {
        long rest = value;
        while ((rest & ~0x7fL) != 0) {
            to.writeByte((int) (rest | 0x80));
            rest >>>= 7;
        }
        to.writeByte((int) rest);
    }

    private static long number(DataInputStream from) throws IOException {
        long value = 0;
        for (int shift = 0; ; shift += 7) {
            byte next = from.readByte();
            value |= (next & 0x7fL) << shift;
            if (next >= 0) {
                return value;
            }
        }
    }
}
