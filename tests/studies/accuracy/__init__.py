"""A catalogue of incidents, and a score of what the project reports about each of them."""
