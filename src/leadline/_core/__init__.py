"""Private: the records that travel between packages, and what every package needs."""
