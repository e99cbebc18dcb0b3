r"""The SAE that a config has made, in the format of SAELens or of sparsify.

ray job submit --working-dir . -- python -m jobs.export --config jobs/configs/ml1m.toml \
    --set store.root=/data/runs --format saelens --to /data/export
"""

from recsae.cli.main import main

if __name__ == "__main__":
    main(["export"])
