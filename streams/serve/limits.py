"""Every limit of the server, in one place, with its reason."""

QUERY_MAX_BYTES = 2_048  # of a request's path and query: the longest that we understand is a search
REQUEST_MAX_BYTES = 32 * 1_024  # of a whole request; held for each connection until it is whole
IDLE_CONNECTION_S = 30.0  # a connection that sends no whole request for so long is closed
CONNECTIONS_BESIDE_WATCHERS = 1_000  # who doesn't watch comes and goes
ROWS_MAX = 2_000  # in one answer: a day's minutes, with room
ROWS_DEFAULT = 100
TOP_MAX = 100
SEARCH_MAX_CHARACTERS = 100
SEARCH_OFFSET_MAX = 10_000  # whoever looks further than that wants another search
RECENT_MINUTES = 30  # an event carries so many; a page that missed more asks for the day
TOP_IN_EVENT = 10

RECEIPTS_AT_ONCE = 4  # made for donors, each in a thread: the index is opened and some tiles are read
RECEIPTS_WAITING_MAX = 100  # who comes then is asked to come again
LINK_ASKS_MAX = 30  # of one donor's link in LINK_ASKS_WINDOW_S: more is no person
LINK_ASKS_WINDOW_S = 60.0
LINKS_REMEMBERED = 10_000  # for that; the oldest is forgotten first
RECALLS_MAX = 100_000  # links that may be called back: some 15 MB
SEARCHES_WAITING_MAX = 50  # a search among 30,000 projects takes some 70 ms; who comes then is asked to come again

FETCH_MAX_RECORDS = 5_000  # taken into the index at a stretch: some 30 ms
INDEX_CACHE_KIB = 64 * 1_024  # SQLite's share of memory; the rest of the index is on disk

STATUS_INTERVAL_S = 2.0  # a watcher hears so often how fresh the figures are, though nothing has come
LOOK_INTERVAL_S = 0.5  # how often the broker is asked how far the workers are
LOOK_TIMEOUT_S = 10.0  # ... and how long that may take before it counts as away
WATCHER_STUCK_S = 30.0  # who has taken nothing for so long has gone
SEND_BUFFER_BYTES = 32 * 1_024  # of the kernel, for each watcher: old states must not pile up there either
CATCH_UP_WAIT_S = 5.0  # how long a watcher that has seen more than we have waits before it begins anew
UNREADABLE_LINE_EVERY_S = 60.0  # a source of nonsense mustn't fill the disk with log lines
