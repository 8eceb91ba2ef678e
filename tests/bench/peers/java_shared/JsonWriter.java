import com.fasterxml.jackson.core.io.JsonStringEncoder;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;

/** Appends JSON to one buffer that is used again and again: cheaper here than a generator of objects. */
final class JsonWriter {
    private byte[] buffer = new byte[1_024];
    private int length;

    JsonWriter clear() {
        length = 0;
        return this;
    }

    byte[] bytes() {
        return Arrays.copyOf(buffer, length);
    }

    /** ASCII as it stands. */
    @SuppressWarnings("deprecation") // the one copy of Latin-1 text that makes no array in between
    JsonWriter raw(String ascii) {
        int count = ascii.length();
        room(count);
        ascii.getBytes(0, count, buffer, length);
        length += count;
        return this;
    }

    JsonWriter raw(byte[] bytes) {
        room(bytes.length);
        System.arraycopy(bytes, 0, buffer, length, bytes.length);
        length += bytes.length;
        return this;
    }

    JsonWriter text(String value) {
        return raw("\"").inText(value).raw("\"");
    }

    /** Part of a text, escaped where it must be. */
    JsonWriter inText(String value) {
        for (int i = 0; i < value.length(); i++) {
            char each = value.charAt(i);
            if (each < 0x20 || each >= 0x80 || each == '"' || each == '\\') {
                return raw(JsonStringEncoder.getInstance().quoteAsUTF8(value));
            }
        }
        return raw(value);
    }

    /** Part of a key: UTF-8 as it stands. */
    JsonWriter utf8(String value) {
        return raw(value.getBytes(StandardCharsets.UTF_8));
    }

    JsonWriter number(long value) {
        if (value < 0) {
            return raw(Long.toString(value));
        }
        int digits = 1;
        for (long rest = value; rest >= 10; rest /= 10) {
            digits++;
        }
        room(digits);
        long rest = value;
        for (int at = length + digits - 1; at >= length; at--) {
            buffer[at] = (byte) ('0' + rest % 10);
            rest /= 10;
        }
        length += digits;
        return this;
    }

    private void room(int count) {
        if (length + count > buffer.length) {
            buffer = Arrays.copyOf(buffer, Math.max(2 * buffer.length, length + count));
        }
    }
}
