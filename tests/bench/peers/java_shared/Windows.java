import java.nio.charset.StandardCharsets;
import java.time.Instant;
import java.time.ZoneId;
import java.time.ZonedDateTime;
import java.time.format.DateTimeFormatter;
import java.time.temporal.ChronoUnit;
import java.util.HashMap;
import java.util.Map;

/** The six calendar windows of a minute, worked out once. (Zones that change their offset within an hour aren't.) */
final class Windows {
    static final String[] KINDS = {"minute", "hour", "day", "month", "year", "all"};
    private static final DateTimeFormatter ISO = DateTimeFormatter.ofPattern("yyyy-MM-dd'T'HH:mm:ssxxx");

    /** One window; {@code end} of `all` is never reached. The JSON between a total's project and its fen is made once. */
    static final class Window {
        final int kind;
        final long startMs;
        final long endMs;
        final byte[] keySuffix;
        final byte[] json;

        private Window(int kind, ZonedDateTime start, ZonedDateTime end) {
            this.kind = kind;
            startMs = start == null ? 0 : start.toInstant().toEpochMilli();
            endMs = end == null ? Long.MAX_VALUE : end.toInstant().toEpochMilli();
            keySuffix = ("|" + KINDS[kind] + "|" + startMs).getBytes(StandardCharsets.US_ASCII);
            json = (",\"window\":\"" + KINDS[kind] + "\",\"start_ms\":" + startMs + ",\"end_ms\":"
                            + (end == null ? "null" : Long.toString(endMs)) + ",\"start\":"
                            + (start == null ? "null" : "\"" + ISO.format(start) + "\"") + ",\"fen\":")
                    .getBytes(StandardCharsets.US_ASCII);
        }
    }

    private record Place(int kind, long startMs) {}

    private final ZoneId zone;
    private final Map<Long, Window[]> byMinute = new HashMap<>();
    private final Map<Place, Window> known = new HashMap<>();

    Windows(String zone) {
        this.zone = ZoneId.of(zone);
    }

    /** Shortest first; the same windows each time. */
    Window[] of(long minuteMs) {
        Window[] found = byMinute.get(minuteMs);
        if (found == null) {
            found = make(Instant.ofEpochMilli(minuteMs).atZone(zone).truncatedTo(ChronoUnit.MINUTES));
            byMinute.put(minuteMs, found);
        }
        return found;
    }

    private Window[] make(ZonedDateTime minute) {
        ZonedDateTime hour = minute.truncatedTo(ChronoUnit.HOURS);
        ZonedDateTime day = minute.toLocalDate().atStartOfDay(zone);
        ZonedDateTime month = day.withDayOfMonth(1);
        ZonedDateTime year = month.withMonth(1);
        return new Window[] {
            window(0, minute, minute.plusMinutes(1)),
            window(1, hour, hour.plusHours(1)),
            window(2, day, day.plusDays(1)),
            window(3, month, month.plusMonths(1)),
            window(4, year, year.plusYears(1)),
            window(5, null, null),
        };
    }

    private Window window(int kind, ZonedDateTime start, ZonedDateTime end) {
        Place place = new Place(kind, start == null ? 0 : start.toInstant().toEpochMilli());
        return known.computeIfAbsent(place, p -> new Window(kind, start, end));
    }
}
