"""Stage `statements` alone; its inputs must be committed.

ray job submit --working-dir . -- python -m jobs.statements --config jobs/configs/demo.toml --set store.root=/data/runs
"""

from recsae.cli.main import main

if __name__ == "__main__":
    main(["stage", "statements"])
