"""The labels that the metrics of every engine have, for tests that name all labels of a sample."""

IN_A_FILE = {
    "db_system_name": "sqlite",
    "db_client_connection_pool_name": "default",
    "db_namespace": "",
    "server_address": "",
    "server_port": "",
}
"""Those of an engine on SQLite under the default name."""
