"""The error of a schema that cannot be served or migrated."""


class SchemaError(Exception):
    """The schema is not the one that this version serves; the message says which command to run."""
