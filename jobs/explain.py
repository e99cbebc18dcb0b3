r"""Why a user is recommended what he is: on the terminal for one user, as a Parquet file for many.

python -m jobs.explain --config jobs/configs/demo.toml --user user-0001 [--item item-0002]
ray job submit --working-dir . -- python -m jobs.explain --config jobs/configs/ml1m.toml \
    --set store.root=/data/runs --users all --to /data/explanations.parquet
"""

from recsae.cli.main import main

if __name__ == "__main__":
    main(["explain"])
