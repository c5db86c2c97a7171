"""Methods measured against each other: what makes a map, how maps are scored, what a difference is worth."""
