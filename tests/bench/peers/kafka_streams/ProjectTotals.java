import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import org.apache.kafka.streams.state.StoreBuilder;

/**
 * The running totals of one partition's projects. Its changelog is the topic of totals: what changed in a commit is
 * written once, as the contract's ProjectTotal under the contract's key, and that restores it as well.
 */
final class ProjectTotals extends CommitStore {
    static final String NAME = "project-totals";
    private static final JsonFactory JSON = new JsonFactory();

    private final RunningTotals totals;

    private ProjectTotals(String zone) {
        super(NAME);
        totals = new RunningTotals(zone);
    }

    static StoreBuilder<ProjectTotals> builder(String zone) {
        return new CommitStoreBuilder<>(NAME, () -> new ProjectTotals(zone));
    }

    void add(String project, byte[] sums) {
        totals.add(project, sums);
    }

    @Override
    public void flushCache() {
        totals.drain((total, key, value) -> log(key, value));
    }

    @Override
    protected void restore(byte[] key, byte[] value) {
        String[] parts = new String(key, StandardCharsets.UTF_8).split("\\|");
        int kind = Arrays.asList(Windows.KINDS).indexOf(parts[1]);
        RunningTotals.Total total = totals.total(totals.project(parts[0]), kind, Long.parseLong(parts[2]));
        try (JsonParser parser = JSON.createParser(value)) {
            parser.nextToken();
            for (String name = parser.nextFieldName(); name != null; name = parser.nextFieldName()) {
                switch (name) {
                    case "fen" -> total.fen = parser.nextLongValue(0);
                    case "donations" -> total.donations = parser.nextLongValue(0);
                    case "late_fen" -> total.lateFen = parser.nextLongValue(0);
                    case "revision" -> total.revision = parser.nextLongValue(0);
                    case "watermark_ms" -> totals.restoreWatermark(parser.nextLongValue(0));
                    default -> parser.nextToken();
                }
            }
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }
}
