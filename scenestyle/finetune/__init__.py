"""Move a field towards stylized views (Style-NeRF2NeRF, arXiv 2406.13393, section 3.3)."""
