"""Web attacks: HTTP requests from captured packets to a classifier that names the attack and its place."""
