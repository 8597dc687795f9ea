"""The report of one result: its page, its 3D view, and its figures in words."""
