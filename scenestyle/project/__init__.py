"""A user's project on disk: what params.yaml asks for, the photos of its scenes, and catalogs of both."""
