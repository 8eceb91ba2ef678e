import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import java.io.IOException;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;

/**
 * An order in; a donation out for each pledged line, and its share added to the partial sums of this commit.
 *
 * <p>The order is read by Jackson's streaming parser, without objects in between. What isn't JSON goes to
 * rejected-orders; an order isn't validated any further, and repeats aren't dropped.
 */
final class SplitOrders implements Processor<byte[], byte[], byte[], byte[]> {
    private static final JsonFactory JSON = new JsonFactory();
    private static final int LINES_MAX = 200;

    private final long latenessMs;
    private final JsonWriter out = new JsonWriter();
    private ProcessorContext<byte[], byte[]> context;
    private PartialSums sums;

    // The order at hand. A line without a pledge has no project.
    private String orderId;
    private String buyerId;
    private String merchantId;
    private long completedAt;
    private int lineCount;
    private final int[] lines = new int[LINES_MAX];
    private final String[] items = new String[LINES_MAX];
    private final String[] projects = new String[LINES_MAX];
    private final long[] fens = new long[LINES_MAX];

    SplitOrders(long latenessMs) {
        this.latenessMs = latenessMs;
    }

    @Override
    public void init(ProcessorContext<byte[], byte[]> context) {
        this.context = context;
        sums = context.getStateStore(PartialSums.NAME);
        sums.sendTo(context, latenessMs);
    }

    @Override
    public void process(Record<byte[], byte[]> record) {
        try (JsonParser parser = JSON.createParser(record.value())) {
            readOrder(parser);
        } catch (IOException error) {
            context.forward(record, KafkaStreamsPeer.REJECTED);
            return;
        }
        long offset = context.recordMetadata().orElseThrow().offset();
        for (int i = 0; i < lineCount; i++) {
            if (projects[i] != null) {
                byte[] donation = donation(i, sums.nextSeq(), offset);
                context.forward(new Record<>(record.key(), donation, completedAt), KafkaStreamsPeer.DONATIONS);
                sums.add(projects[i], completedAt, fens[i]);
            }
        }
    }

    private byte[] donation(int i, long seq, long offset) {
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
