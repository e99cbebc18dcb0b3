r"""Do better recommenders hold more concepts? A page and a table of several runs, as they are served.

python -m jobs.compare --config jobs/configs/ml1m.toml --config jobs/configs/ml1m-bprmf.toml --to models.html
ray job submit --working-dir . -- python -m jobs.compare --config jobs/configs/ml1m.toml \
    --set store.root=/data/runs --config jobs/configs/ml1m-bprmf.toml --to /data/models.html
"""

from recsae.cli.main import main

if __name__ == "__main__":
    main(["compare"])
