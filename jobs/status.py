"""The state of a run: what is committed, being made, missing or damaged, what to run next, and what is served.

It reads the store alone and starts nothing, so it may be asked while a night runs: `--json` for machines.

ray job submit --working-dir . -- python -m jobs.status --config jobs/configs/demo.toml --set store.root=/data/runs
"""

from recsae.cli.main import main

if __name__ == "__main__":
    main(["status"])
