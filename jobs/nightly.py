"""Every stage in order in one driver; what is committed already is skipped, and what the gate lets through is served.

ray job submit --working-dir . -- python -m jobs.nightly --config jobs/configs/demo.toml --set store.root=/data/runs
"""

from recsae.cli.main import main

if __name__ == "__main__":
    main(["run"])
