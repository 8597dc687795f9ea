"""Training of the embedded model: SDXL's architecture at a size two CPU cores can train."""
