"""Radiance fields: train one, open one, render it. The only room that drives nerfstudio.

A run is a folder that is complete in itself: a nerfstudio dataset (`transforms.json`, `images/` at
training size), a nerfstudio run (`config.yml`, `nerfstudio_models/`, `dataparser_transforms.json`)
and the figures (`metrics.json`, `losses.csv`, `loss_curve.png`).
"""
