"""Whether an error came from an object store, and a sentence for the user.

The libraries raise errors of many kinds, and Ray passes on a worker's errors as text, so messages are matched.
"""

from __future__ import annotations

import re

from recsae.errors import error_chain
from recsae.store.object_store import PATIENCE_S

_FROM_A_STORE = re.compile(
    r"[^\n]*(?:AWS Error |Bucket '[^'\n]*' not found|google::cloud::Status|Generic (?:S3|GCS) error|"
    r"Error performing (?:GET|PUT|HEAD|POST|DELETE) )[^\n]*"
)
_IS_AWAY = re.compile(
    r"SERVICE_UNAVAILABLE|SLOW_DOWN|NETWORK_CONNECTION|REQUEST_TIMEOUT|INTERNAL_FAILURE|THROTTLING|HTTP status 50\d|"
    r"status code: 50\d|error sending request|HTTP error|UNAVAILABLE"
)
_LONGEST = 300


def store_failure(error: BaseException) -> str | None:
    """A sentence, with its mend, on an error that came from an object store; None for any other error."""
    reason = _said(error)
    if reason is None:
        return None
    if _IS_AWAY.search(reason):
        return (
            f"the object store does not answer, {PATIENCE_S:g} s long ({reason}); what is committed and served stays; "
            "give the same command again when the store is back"
        )
    return f"the object store refuses ({reason}); mend the URI, its region or endpoint, or the credentials"


def is_unreachable(error: BaseException) -> bool:
    """Whether the error says that an object store did not respond, after all retries."""
    reason = _said(error)
    return reason is not None and bool(_IS_AWAY.search(reason))


def _said(error: BaseException) -> str | None:
    """The last line with an object store's message, of the nearest error in the chain that has one."""
    for one in error_chain(error):
        lines = _FROM_A_STORE.findall(str(one))
        if lines:
            return str(lines[-1]).strip()[:_LONGEST]
    return None
