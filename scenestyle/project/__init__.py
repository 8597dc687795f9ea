"""A user's project on disk: params.yaml, the photos of its scenes, and catalogs."""
