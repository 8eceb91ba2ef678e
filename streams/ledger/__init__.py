"""The ledger's pure rules: Merkle tree, tiles, leaf form, signed notes, receipts. No Kafka, no clock, no files."""
