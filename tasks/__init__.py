"""One module per stage: `run` is the stage, `python -m tasks.STAGE` what dvc.yaml calls."""
