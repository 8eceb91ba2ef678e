import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.HashMap;
import java.util.function.BiConsumer;

/**
 * Partial sums by project and minute, from one commit to the next.
 *
 * <p>For each project they go to the second stage as one value: their source and its watermark, then (minute, fen,
 * donations) as often as there are minutes.
 */
final class ProjectSums {
    private static final int HEAD_BYTES = Integer.BYTES + Long.BYTES;
    private static final int SUM_BYTES = 2 * Long.BYTES + Integer.BYTES;
    private static final long MINUTE_MS = 60_000;

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
                    minutes = Arrays.copyOf(minutes, 2 * at);
                    fens = Arrays.copyOf(fens, 2 * at);
                    donations = Arrays.copyOf(donations, 2 * at);
                }
                minutes[at] = minute;
            }
            fens[at] += fen;
            donations[at]++;
        }
    }

    private final HashMap<String, Sums> byProject = new HashMap<>();

    void add(String project, long timeMs, long fen) {
        byProject.computeIfAbsent(project, p -> new Sums()).add(timeMs - timeMs % MINUTE_MS, fen);
    }

    boolean isEmpty() {
        return byProject.isEmpty();
    }

    /** Give each project's sums to {@code to}, and begin anew. */
    void drain(int source, long watermarkMs, BiConsumer<String, byte[]> to) {
        byProject.forEach((project, sums) -> {
            ByteBuffer value = ByteBuffer.allocate(HEAD_BYTES + sums.count * SUM_BYTES);
            value.putInt(source).putLong(watermarkMs);
            for (int i = 0; i < sums.count; i++) {
                value.putLong(sums.minutes[i]).putLong(sums.fens[i]).putInt(sums.donations[i]);
            }
            to.accept(project, value.array());
        });
        byProject.clear();
    }
}
