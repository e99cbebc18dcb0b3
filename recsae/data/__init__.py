"""Events and catalogue: the input of a run, and how later stages read it.

`stage` holds the stage `ingest`; `chunks` and `catalogue` are what other stages read.
"""
