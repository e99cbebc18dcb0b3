"""The data set that comes with the package, under terms of its own: see README.md here."""

from pathlib import Path

FOLDER = Path(__file__).parent
"""Holds `interactions.parquet` and `items.parquet`."""
