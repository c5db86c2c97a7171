"""Configs: where they lie, how they are composed, what may be built from them, and what a run is known by."""
