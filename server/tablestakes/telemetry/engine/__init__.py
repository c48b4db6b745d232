"""Listening to an engine of SQLAlchemy: its statements, transactions, errors and connections."""
