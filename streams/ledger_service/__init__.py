"""The ledger at work: files, keys, and the role that follows `donations`. The rules are in `streams.ledger`."""
