"""Counting the RPCs of a server, and the time and the statements that they spend on the database."""
