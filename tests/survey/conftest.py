from __future__ import annotations

from tests.lookup.conftest import night_config

__all__ = ["night_config"]
