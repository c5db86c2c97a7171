"""One file a verb, each read from top to bottom like a recipe."""
