"""A URI as it may be printed or stored: without what it says in confidence. It knows URIs and reaches nothing."""

from __future__ import annotations

import re

_USER = re.compile(r"(\w[\w+.-]*://)[^/?#\s@]*@")
# A secret may hold a slash, and people do not always write it as %2F. A number after the colon is a port.
_UNQUOTED = re.compile(r"(\w[\w+.-]*://)[^/?#\s@:]*:(?!\d+(?:[/?#]|$))\S*@")
_VALUE = re.compile(r"([?&])([\w.-]+)=[^&#\s'\")]*")
_SECRET = re.compile(r"secret|token|passw|signature|credential|access_?key|api_?key|^sig$", re.IGNORECASE)


def shown(uri: str) -> str:
    """`uri` without user and password and without secrets in its query; a sentence that holds URIs may be given too."""
    without = _UNQUOTED.sub(r"\1", _USER.sub(r"\1", uri))
    return _VALUE.sub(lambda found: f"{found[1]}{found[2]}=…" if _SECRET.search(found[2]) else found[0], without)
