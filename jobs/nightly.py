"""Every stage in order in one driver; what is committed already is skipped, and what the gate lets through is served.

ray job submit --working-dir . -- python -m jobs.nightly --config jobs/configs/demo.toml --set store.root=/data/runs
"""

from recsae.cli.command import run

if __name__ == "__main__":
    from recsae.pipeline.stages import STAGES

    run(list(STAGES), publish=True)
