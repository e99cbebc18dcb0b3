r"""Recommendations for users as they stand today, clean or under a steering policy, as one Parquet file.

ray job submit --working-dir . -- python -m jobs.recommend --config jobs/configs/ml1m.toml \
    --set store.root=/data/runs --policy /data/policy.json --to /data/recommendations.parquet
"""

from recsae.cli.main import main

if __name__ == "__main__":
    main(["recommend"])
