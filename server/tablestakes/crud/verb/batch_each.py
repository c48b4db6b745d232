"""A batch whose items are served one after the other, in one transaction: by a function, or on singletons."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from google.protobuf.message import Message

from tablestakes.crud.call import Call
from tablestakes.crud.method import Method, Rpc
from tablestakes.crud.session import Session
from tablestakes.crud.verb.batch import Faults, before, read_items, require_below, require_distinct, within
from tablestakes.crud.work import Work
from tablestakes.errors import StatusError


def bind_each(rpc: Rpc, item: Method, answer: Callable[[Sequence[Message]], Message]) -> Method:
    """Return the method of a batch that does for each item what the item's own method does for it.

    It takes as many statements as the items take by themselves, and all of them take effect or none.

    Args:
        rpc: The batch.
        item: The method whose requests are the items.
        answer: Makes the response of those of the items.
    """

    async def batch_each(call: Call[Any]) -> Work[Message]:
        async def read(request: Any, start: str) -> Work[Message]:
            try:
                found: Work[Message] = await item.serve(replace(call, request=request))
            except StatusError as error:
                raise within(start, error) from None
            return found

        works = await read_items(call.request, read)
        keys = [work.key for work in works if work.key is not None]
        require_distinct(keys)
        if len(keys) == len(works):
            require_below(rpc, call.request, keys)

        def write(session: Session) -> Message:
            responses = []
            with Faults() as faults:
                for index, work in enumerate(works):
                    with faults.of(index):
                        responses.append(_apply(work, session, before(index)))
            return answer(responses)

        return Work(write, atomic=True, items=list(zip(call.request.requests, works, strict=True)))

    return rpc.method(batch_each, f"batch of {item.served_by}", item=item)


def _apply(work: Work[Message], session: Session, start: str) -> Message:
    try:
        return work.apply(session)
    except StatusError as error:
        raise within(start, error) from None
