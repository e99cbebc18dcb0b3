"""Serve what the stages have committed, if the gate lets it through: writes `nights/…` and switches `current.json`.

ray job submit --working-dir . -- python -m jobs.publish --config jobs/configs/demo.toml --set store.root=/data/runs
"""

from recsae.cli.main import main

if __name__ == "__main__":
    main(["publish"])
