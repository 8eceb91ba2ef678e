import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.processor.StateStore;
import org.apache.kafka.streams.processor.StateStoreContext;
import org.apache.kafka.streams.processor.internals.InternalProcessorContext;
import org.apache.kafka.streams.query.Position;
import org.apache.kafka.streams.state.internals.CacheFlushListener;
import org.apache.kafka.streams.state.internals.CachedStateStore;

/**
 * A store of plain objects on the heap that is told of each commit, as Kafka Streams tells its own caches: what changed
 * is encoded once a commit, and goes into the transaction of that commit. Its changelog restores it.
 *
 * <p>CachedStateStore and InternalProcessorContext are internals of Kafka Streams. Its public interface has no such
 * moment; with it alone, each change would have to be encoded, or each donation be sent to the second stage.
 */
abstract class CommitStore implements StateStore, CachedStateStore<Object, Object> {
    protected InternalProcessorContext<?, ?> internals;
    private final String name;
    private boolean open;

    CommitStore(String name) {
        this.name = name;
    }

    /** A commit is about to be made: write what changed. */
    @Override
    public abstract void flushCache();

    /** One record of the changelog. */
    protected abstract void restore(byte[] key, byte[] value);

    protected void log(byte[] key, byte[] value) {
        internals.logChange(name, Bytes.wrap(key), value, System.currentTimeMillis(), Position.emptyPosition());
    }

    @Override
    public String name() {
        return name;
    }

    @Override
    public void init(StateStoreContext context, StateStore root) {
        internals = (InternalProcessorContext<?, ?>) context;
        context.register(root, this::restore);
        open = true;
    }

    @Override
    public void flush() {}

    @Override
    public void close() {
        open = false;
    }

    @Override
    public boolean persistent() {
        return false;
    }

    @Override
    public boolean isOpen() {
        return open;
    }

    @Override
    public Position getPosition() {
        return Position.emptyPosition();
    }

    @Override
    public boolean setFlushListener(CacheFlushListener<Object, Object> listener, boolean sendOldValues) {
        return false;
    }

    @Override
    public void clearCache() {}
}
