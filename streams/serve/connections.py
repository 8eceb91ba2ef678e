"""What the server's port asks of strangers, and how it refuses them: `streams.connections` with the API's own words."""

from aiohttp import web

from streams.connections import Terms
from streams.serve import limits
from streams.serve.http import SAME_ORIGIN, SECURITY_HEADERS, problem


def terms(watchers_max: int) -> Terms:
    """For so many watchers, and some who come and go."""
    return Terms(
        connections_max=watchers_max + limits.CONNECTIONS_BESIDE_WATCHERS,
        request_max_bytes=limits.REQUEST_MAX_BYTES,
        idle_s=limits.IDLE_CONNECTION_S,
        stuck_s=limits.WATCHER_STUCK_S,
        refusal=_refusal,
        too_few_files="this process may open too few files for EVERYCENT_SERVE_WATCHERS_MAX (ulimit -n)",
    )


def _refusal(status: int, why: str) -> web.Response:
    answer = problem(status, why)
    answer.headers.update({**SECURITY_HEADERS, **SAME_ORIGIN})
    return answer
