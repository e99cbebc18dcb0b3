r"""A steering policy: latents turned so that a bias shrinks, or so that some concepts are recommended more or less.

ray job submit --working-dir . -- python -m jobs.tune --config jobs/configs/ml1m.toml --set store.root=/data/runs \
    --balance popularity --to /data/policy.json
python -m jobs.tune --config jobs/configs/demo.toml --more Western --less Horror --to policy.json
"""

from recsae.cli.main import main

if __name__ == "__main__":
    main(["tune"])
