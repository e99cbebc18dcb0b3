"""The stages in order, each as a Ray job of its own with its own resources (`[submit]`); called again, it goes on.

python -m jobs.submit --config jobs/configs/demo.toml --set store.root=/data/runs

With `--nightly` all stages are one job. RAY_API_SERVER_ADDRESS says where the job server is, RAY_AUTH_TOKEN or
RAY_AUTH_TOKEN_PATH bring the cluster's token.
"""

from recsae.cli.main import main

if __name__ == "__main__":
    main(["submit"])
