"""Views that no photo shows: orbits round a scene, and its surface."""
