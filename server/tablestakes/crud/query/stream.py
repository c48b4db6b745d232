"""Reading any number of rows in bounded memory, through a cursor of the server's."""

from collections.abc import Iterator, Mapping
from typing import Any

from google.protobuf.message import Message
from sqlalchemy import Connection, Select

from tablestakes.crud.schema.view import View

# The bytes of resources in a response, about: few enough for memory, and enough that a response costs little.
BATCH_BYTES = 256 << 10

# The rows that are fetched first, while nobody knows how large they are, and the most at once.
FIRST_ROWS, MOST_ROWS = 50, 500


def read_batches(
    connection: Connection, view: View, statement: Select[Any], parameters: Mapping[str, Any]
) -> Iterator[tuple[list[Message], Any]]:
    """Yield the resources of a statement a few at a time, each batch with the id of its last one.

    A batch has BATCH_BYTES or a little more, but at least one resource; each costs a fetch, and one statement for
    each collection.

    Args:
        connection: A connection in a transaction, which the cursor needs.
        view: The view whose columns the statement selects.
        statement: The statement.
        parameters: Its parameters.
    """
    options = {"stream_results": True, "max_row_buffer": MOST_ROWS}
    with connection.execute(statement, parameters, execution_options=options) as result:
        messages: list[Message] = []
        wanted, used, last_id = FIRST_ROWS, 0, None
        while rows := result.fetchmany(wanted):
            total = 0
            for row, message in zip(rows, view.messages(connection, rows), strict=True):
                size = message.ByteSize()
                if messages and used + size > BATCH_BYTES:
                    yield messages, last_id
                    messages, used = [], 0
                messages.append(message)
                used, total, last_id = used + size, total + size, view.key(row)[-1]
            if used >= BATCH_BYTES or len(messages) >= MOST_ROWS:
                yield messages, last_id
                messages, used = [], 0
            # As many as fit into a batch, should they be as large as these.
            wanted = min(MOST_ROWS, max(1, BATCH_BYTES * len(rows) // max(total, 1)))
        if messages:
            yield messages, last_id
