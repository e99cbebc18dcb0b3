r"""A planted catalogue of any size, to try a cluster or a config with: `interactions.parquet` and `items.parquet`.

ray job submit --working-dir . -- python -m jobs.plant --to /data/planted --users 1000000 --items 1000000 \
    --events 10000000
"""

from recsae.cli.main import main

if __name__ == "__main__":
    main(["plant"])
