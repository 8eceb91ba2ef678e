import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;

/** The running totals of some projects: plain objects on the heap, and which of them changed since the last commit. */
final class RunningTotals {
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
        final int number; // counted from 0, in the order in which they came
        final Total[] last = new Total[Windows.KINDS.length];
        final HashMap<Windows.Window, Total> all = new HashMap<>(8);

        Project(String id, int number) {
            this.id = id;
            this.number = number;
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

    private final Windows windows;
    private final HashMap<String, Project> projects = new HashMap<>();
    private final ArrayList<Project> inOrder = new ArrayList<>();
    private final ArrayList<Total> changed = new ArrayList<>();
    private final JsonWriter out = new JsonWriter();
    private long[] watermarks = new long[0];
    private long watermarkMs;

    RunningTotals(String zone) {
        windows = new Windows(zone);
    }

    Project project(String id) {
        Project found = projects.get(id);
        if (found == null) {
            found = new Project(id, inOrder.size());
            projects.put(id, found);
            inOrder.add(found);
        }
        return found;
    }

    /** Every project, by its number. */
    List<Project> projects() {
        return inOrder;
    }

    /** The total of one window, by its kind and its own start. */
    Total total(Project project, int kind, long startMs) {
        return project.total(windows.of(startMs)[kind]); // any minute within a window leads to it
    }

    long watermarkMs() {
        return watermarkMs;
    }

    /** What was known before a restart. */
    void restoreWatermark(long ms) {
        watermarkMs = Math.max(watermarkMs, ms);
    }

    /** What {@link ProjectSums#drain} made of a project. */
    void add(String projectId, byte[] value) {
        ByteBuffer sums = ByteBuffer.wrap(value);
        hear(sums.getInt(), sums.getLong());
        Project project = project(projectId);
        while (sums.hasRemaining()) {
            Windows.Window[] all = windows.of(sums.getLong());
            long fen = sums.getLong();
            int donations = sums.getInt();
            for (Windows.Window window : all) {
                add(project, window, fen, donations);
            }
        }
    }

    /** A source is so far; the least of those that were heard is the watermark, and it never falls back. */
    private void hear(int source, long sourceWatermarkMs) {
        if (source >= watermarks.length) {
            watermarks = Arrays.copyOf(watermarks, source + 1);
        }
        if (watermarks[source] != sourceWatermarkMs) {
            watermarks[source] = sourceWatermarkMs;
            watermarkMs = Math.max(watermarkMs, Arrays.stream(watermarks).min().getAsLong());
        }
    }

    private void add(Project project, Windows.Window window, long fen, int donations) {
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

    /** Takes a total as it is, and as the contract's key and ProjectTotal. */
    interface Output {
        void accept(Total total, byte[] key, byte[] value);
    }

    /** Give each total that changed to {@code to}, and begin anew. */
    void drain(Output to) {
        for (Total total : changed) {
            total.dirty = false;
            total.revision++;
            to.accept(total, key(total), value(total));
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
}
