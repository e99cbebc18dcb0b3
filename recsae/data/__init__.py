"""Events and catalogue: what a run is made from, and how later stages read it.

`ingest` is the stage; `chunks` and `catalogue` are the nouns that other stages use. It knows nothing of recommenders.
"""
