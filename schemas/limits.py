"""Every limit of the contract, in one place, with its reason."""

from schemas import units

ID_MAX_CHARACTERS = 64  # ids are keys: they travel with every record
ORDER_MAX_BYTES = 1_048_576  # Kafka's own default for one record; a larger order is refused, not split
NESTING_MAX = 500  # an interpreter gives up at a depth that depends on who calls: every reader must refuse the same
LINES_MAX = 200
LINE_NUMBER_MAX = 65_535
PAID_FEN_MAX = 10**12  # 10 billion yuan for one line: a typing error, not a deal
RATE_BPS_MAX = 10_000  # 10,000 basis points are the whole price
EVENT_TIME_MIN_MS = 1
EVENT_TIME_MAX_MS = 253_402_300_799_999  # 9999-12-31T23:59:59.999Z, the last instant that ISO 8601 text can show
FUTURE_TOLERANCE_MS = units.DAY_MS  # one event further ahead would push the watermark and close every window
JSON_INTEGER_SAFE_MAX = 2**53 - 1  # beyond it a browser's JSON.parse loses fen: see docs/contract.md
INT64_MAX = 2**63 - 1
