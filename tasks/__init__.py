"""One module per stage: `run` is the stage, `python -m tasks.STAGE` its program, dvc.yaml its caller."""
