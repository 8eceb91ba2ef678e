"""The rules, pure: no Kafka, no framework, no clock, no I/O."""
