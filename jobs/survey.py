r"""Do people see what the concepts say? A blind form for them, and what their answers come to.

python -m jobs.survey export --config jobs/configs/demo.toml --to form.html [--concepts 12] [--decoys 6] [--cases 8]
python -m jobs.survey score --key form.key.json answers-ann.json answers-bob.json --to survey.parquet
ray job submit --working-dir . -- python -m jobs.survey export --config jobs/configs/ml1m.toml \
    --set store.root=/data/runs --to /data/form.html
"""

from recsae.cli.main import main

if __name__ == "__main__":
    main(["survey"])
