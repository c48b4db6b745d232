"""Listening to an SQLAlchemy engine: its statements, transactions, errors and connections."""
