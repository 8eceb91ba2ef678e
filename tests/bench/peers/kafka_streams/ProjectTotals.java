import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import org.apache.kafka.streams.state.StoreBuilder;

/**
 * The running totals of one partition's projects. Its changelog is the topic of totals: what changed in a commit is
 * written once, as the contract's ProjectTotal under the contract's key, and that restores it as well.
 */
final class ProjectTotals extends CommitStore {
    static final String NAME = "project-totals";
    private static final JsonFactory JSON = new JsonFactory();

    static final class Total {
        final Project project;
        final Windows.Window window;
        long fen;
        long donations;
        long lateFen;
        long revision;
        boolean dirty;

        Total(Project project, Windows.Window window) {
            this.project = project;
            this.window = window;
        }
    }

    /** A project's totals; those last used of each kind are at hand, as orders come roughly by time. */
    static final class Project {
        final String id;
        final Total[] last = new Total[Windows.KINDS.length];
        final HashMap<Windows.Window, Total> all = new HashMap<>(8);

        Project(String id) {
            this.id = id;
        }

        Total total(Windows.Window window) {
            Total found = last[window.kind];
            if (found == null || found.window != window) {
                found = all.computeIfAbsent(window, w -> new Total(this, w));
                last[window.kind] = found;
            }
            return found;
        }
    }

    final Windows windows;
    private final HashMap<String, Project> projects = new HashMap<>();
    private final ArrayList<Total> changed = new ArrayList<>();
    private final JsonWriter out = new JsonWriter();
    private long[] watermarks = new long[0];
    private long watermarkMs;

    private ProjectTotals(String zone) {
        super(NAME);
        windows = new Windows(zone);
    }

    static StoreBuilder<ProjectTotals> builder(String zone) {
        return new CommitStoreBuilder<>(NAME, () -> new ProjectTotals(zone));
    }

    Project project(String id) {
        Project found = projects.get(id);
        if (found == null) {
            found = new Project(id);
            projects.put(id, found);
        }
        return found;
    }

    /** A source is so far; the least of those that were heard is the watermark, and it never falls back. */
    void hear(int source, long sourceWatermarkMs) {
        if (source >= watermarks.length) {
            watermarks = Arrays.copyOf(watermarks, source + 1);
        }
        if (watermarks[source] != sourceWatermarkMs) {
            watermarks[source] = sourceWatermarkMs;
            watermarkMs = Math.max(watermarkMs, Arrays.stream(watermarks).min().getAsLong());
        }
    }

    void add(Project project, Windows.Window window, long fen, int donations) {
        Total total = project.total(window);
        total.fen += fen;
        total.donations += donations;
        if (window.endMs <= watermarkMs) {
            total.lateFen += fen;
        }
        if (!total.dirty) {
            total.dirty = true;
            changed.add(total);
        }
    }

    @Override
    public void flushCache() {
        for (Total total : changed) {
            total.dirty = false;
            total.revision++;
            log(key(total), value(total));
        }
        changed.clear();
    }

    private byte[] key(Total total) {
        return out.clear().utf8(total.project.id).raw(total.window.keySuffix).bytes();
    }

    private byte[] value(Total total) {
        return out.clear()
                .raw("{\"project_id\":").text(total.project.id).raw(total.window.json).number(total.fen)
                .raw(",\"donations\":").number(total.donations)
                .raw(",\"late_fen\":").number(total.lateFen)
                .raw(",\"watermark_ms\":").number(watermarkMs)
                .raw(total.window.endMs <= watermarkMs ? ",\"final\":true" : ",\"final\":false")
                .raw(",\"revision\":").number(total.revision).raw("}")
                .bytes();
    }

    @Override
    protected void restore(byte[] key, byte[] value) {
        String[] parts = new String(key, StandardCharsets.UTF_8).split("\\|");
        int kind = Arrays.asList(Windows.KINDS).indexOf(parts[1]);
        // Any minute within a window leads to it; its own start is one.
        Total total = project(parts[0]).total(windows.of(Long.parseLong(parts[2]))[kind]);
        try (JsonParser parser = JSON.createParser(value)) {
            parser.nextToken();
            for (String name = parser.nextFieldName(); name != null; name = parser.nextFieldName()) {
                switch (name) {
                    case "fen" -> total.fen = parser.nextLongValue(0);
                    case "donations" -> total.donations = parser.nextLongValue(0);
                    case "late_fen" -> total.lateFen = parser.nextLongValue(0);
                    case "revision" -> total.revision = parser.nextLongValue(0);
                    case "watermark_ms" -> watermarkMs = Math.max(watermarkMs, parser.nextLongValue(0));
                    default -> parser.nextToken();
                }
            }
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }
}
