"""Prefect flows over the stages of dvc.yaml."""

from flows.sentences import show_sentences

show_sentences()
