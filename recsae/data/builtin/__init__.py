"""The data set that comes with the package, under its own terms: see README.md in this folder."""

from pathlib import Path

FOLDER = Path(__file__).parent
"""Holds `interactions.parquet` and `items.parquet`."""
