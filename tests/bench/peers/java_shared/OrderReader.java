import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import java.io.IOException;

/**
 * One order at a time, read by Jackson's streaming parser without objects in between, and the donations of its lines.
 *
 * <p>An order isn't validated any further than that it is JSON.
 */
final class OrderReader {
    private static final JsonFactory JSON = new JsonFactory();
    private static final int LINES_MAX = 200;

    private final JsonWriter out = new JsonWriter();

    // The order at hand. A line without a pledge has no project.
    private String orderId;
    private String buyerId;
    private String merchantId;
    long completedAt;
    int lineCount;
    private final int[] lines = new int[LINES_MAX];
    private final String[] items = new String[LINES_MAX];
    final String[] projects = new String[LINES_MAX];
    final long[] fens = new long[LINES_MAX];

    /** The contract's Donation of line {@code i}, which has a pledge. */
    byte[] donation(int i, long seq, long offset) {
        return out.clear()
                .raw("{\"donation_id\":\"").inText(orderId).raw(":").number(lines[i])
                .raw("\",\"seq\":").number(seq)
                .raw(",\"order_id\":").text(orderId)
                .raw(",\"line\":").number(lines[i])
                .raw(",\"buyer_id\":").text(buyerId)
                .raw(",\"merchant_id\":").text(merchantId)
                .raw(",\"item_id\":").text(items[i])
                .raw(",\"project_id\":").text(projects[i])
                .raw(",\"fen\":").number(fens[i])
                .raw(",\"donated_at\":").number(completedAt)
                .raw(",\"source_offset\":").number(offset).raw("}")
                .bytes();
    }

    /** Read an order. IOException: it isn't JSON, or its values are of other types. */
    void read(byte[] value) throws IOException {
        try (JsonParser parser = JSON.createParser(value)) {
            readOrder(parser);
        }
    }

    private void readOrder(JsonParser parser) throws IOException {
        lineCount = 0;
        parser.nextToken();
        for (String name = parser.nextFieldName(); name != null; name = parser.nextFieldName()) {
            switch (name) {
                case "order_id" -> orderId = parser.nextTextValue();
                case "buyer_id" -> buyerId = parser.nextTextValue();
                case "merchant_id" -> merchantId = parser.nextTextValue();
                case "completed_at" -> completedAt = parser.nextLongValue(0);
                case "lines" -> {
                    parser.nextToken();
                    while (parser.nextToken() == JsonToken.START_OBJECT) {
                        readLine(parser, lineCount++);
                    }
                }
                default -> skip(parser);
            }
        }
    }

    private void readLine(JsonParser parser, int i) throws IOException {
        long paidFen = 0;
        boolean byRate = false;
        long pledged = 0;
        projects[i] = null;
        for (String name = parser.nextFieldName(); name != null; name = parser.nextFieldName()) {
            switch (name) {
                case "line" -> lines[i] = parser.nextIntValue(0);
                case "item_id" -> items[i] = parser.nextTextValue();
                case "paid_fen" -> paidFen = parser.nextLongValue(0);
                case "pledge" -> {
                    if (parser.nextToken() == JsonToken.START_OBJECT) {
                        for (String in = parser.nextFieldName(); in != null; in = parser.nextFieldName()) {
                            switch (in) {
                                case "project_id" -> projects[i] = parser.nextTextValue();
                                case "kind" -> byRate = parser.nextTextValue().equals("rate");
                                case "fen", "bps" -> pledged = parser.nextLongValue(0);
                                default -> skip(parser);
                            }
                        }
                    }
                }
                default -> skip(parser);
            }
        }
        fens[i] = byRate
                ? Math.min(Math.max((paidFen * pledged + 5_000) / 10_000, 2), paidFen) // half up, at least 2 fen
                : Math.min(pledged, paidFen);
    }

    private static void skip(JsonParser parser) throws IOException {
        parser.nextToken();
        parser.skipChildren();
    }
}
