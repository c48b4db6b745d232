"""Counting the RPCs of a server, and what each of them spends on the database."""
