"""`arn serve`: maps, overlays and cutouts over HTTP, and the page at its root."""
