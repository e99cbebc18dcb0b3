"""The served dictionary in the terminal: all of it, or one latent, item or user.

python -m jobs.show --config jobs/configs/demo.toml [--search western] [--sort f1] [--interpretable] [--rows 50]
python -m jobs.show --config jobs/configs/demo.toml --latent 12        # or --item "Heat (1995)", --user 15
ray job submit --working-dir . -- python -m jobs.show --config jobs/configs/ml1m.toml --set store.root=/data/runs
"""

from recsae.cli.main import main

if __name__ == "__main__":
    main(["show"])
