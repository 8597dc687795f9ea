"""What nerfstudio loads from us: the model, its configuration and the registered methods."""
