"""Every bound of the engine, in one place, with its reason."""

INBOX_MAX_BATCHES = 1  # at hand while one is in work: more only takes memory
COMMIT_MAX_RECORDS = 8_192  # bounds what a task holds in memory for its next transaction: some 5 MB of donations
COMMIT_MAX_RECORDS_PACKED = 32_768  # the same where donations wait packed: some 2 MB. More saves no more CPU
COMMIT_MAX_BYTES = 8 * 1_048_576  # of input values, and the batch that exceeds it: a transaction takes seconds
PACKED_RATIO = 2  # for that, a packed byte counts as so many: it holds more, but the extension is faster too
BACKLOG_RECORDS = 8_192  # a partition that is further from its end has a backlog: live it is some hundreds
COMMIT_REST = 3  # a partition rests so many times as long as its last commit took: commits take a fourth of the time
LEVELS_EVERY_S = 1.0  # what a partition holds is counted for the metrics so often: it costs more than a commit's counts
COMMIT_STRETCH = 8  # under a backlog a commit may wait so many intervals: fewer totals for the same donations
ZSTD_LEVEL = 1  # what the extension packs with: level 3 takes twice the time for a twentieth less
OUTGOING_BATCH_BYTES = 256 * 1024  # unpacked; a record batch that we write, well under the topics' max.message.bytes
PRODUCER_MAX_REQUEST_BYTES = 8 * 1_048_576
TRANSACTION_TIMEOUT_MS = 15_000  # a killed worker's open transaction holds readers back no longer
RESTART_BACKOFF_S = (0.2, 0.5, 1.0, 2.0, 5.0)  # pauses before a failed task starts again; the last one repeats
FENCED_PAUSE_HEARTBEATS = 3  # by then a worker that lost its partition has been told so
GIVE_BACK_AFTER_S = 2.0  # after the last partition came or went: then what they left behind in memory is given back
PRODUCER_STOP_TIMEOUT_S = 5.0  # a stop takes milliseconds; it would wait for ever for a broker that has gone
STOP_TIMEOUT_S = 20.0  # how long a worker that was told to stop waits for running commits
ABORT_TIMEOUT_S = 5.0  # ... and then for those that it gives up: the next owner aborts them in any case
LEAVE_TIMEOUT_S = 5  # ... and then for the group to let it go; it is missed after its session in any case
END_LOOKS_PER_STALL = 10  # the ends of the input are asked for so often in EVERYCENT_STALL_TIMEOUT_S: lag shows in time
HEALTH_STALL_PART = 2  # /healthz fails after EVERYCENT_STALL_TIMEOUT_S divided by this: before the watchdog acts
END_LOOK_TIMEOUT_S = 10.0  # ... and how long the answer may take before the broker counts as away
END_TIMEOUT_S = 30  # how long all of that may take; what hangs even so is ended at once
REFUSED_LINE_EVERY_S = 60.0  # one log line a reason and partition: a source of nonsense mustn't fill the disk
SPANS_FLUSH_TIMEOUT_S = 2.0  # at a worker's end: a collector that is away mustn't hold it up
