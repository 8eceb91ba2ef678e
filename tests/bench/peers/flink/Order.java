import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.connector.kafka.source.reader.deserializer.KafkaRecordDeserializationSchema;
import org.apache.flink.util.Collector;
import org.apache.kafka.clients.consumer.ConsumerRecord;

/** A record of orders as it was fetched, in one box that is used again: the next operator is chained, nothing is copied. */
public final class Order {
    ConsumerRecord<byte[], byte[]> record;

    static final class Schema implements KafkaRecordDeserializationSchema<Order> {
        private static final long serialVersionUID = 1;

        private transient Order box;

        @Override
        public void deserialize(ConsumerRecord<byte[], byte[]> record, Collector<Order> out) {
            if (box == null) {
                box = new Order();
            }
            box.record = record;
            out.collect(box);
        }

        @Override
        public TypeInformation<Order> getProducedType() {
            return TypeInformation.of(Order.class);
        }
    }
}
