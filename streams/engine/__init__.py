"""Kafka and Faust, no business: batches, the commit, restore, the embedded broker."""
