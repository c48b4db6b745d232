"""The etag of a request that a function serves: it is compared before the function's work (AIP-154)."""

from collections.abc import Callable
from dataclasses import replace
from operator import attrgetter
from typing import Any

from tablestakes.crud.call import Call
from tablestakes.crud.declaration import DeclarationError
from tablestakes.crud.method import Rpc, Serve
from tablestakes.crud.schema.etag import ETAG, version_in
from tablestakes.crud.session import Session
from tablestakes.crud.work import Work
from tablestakes.errors import not_found


def etag_first(rpc: Rpc, serve: Serve) -> Serve:
    """Return a function that serves an RPC as another does, on the version that the request's etag stands for.

    The resource is locked and compared in the transaction of the function's work: no function need think of it,
    and none can forget it. Without an etag the work is the function's own.

    Args:
        rpc: The RPC.
        serve: The function. Its work must have a key where the request can have an etag.
    """
    schema, etag = rpc.schema, _etag(rpc)
    if etag is None:
        return serve

    async def on_version(call: Call[Any]) -> Work[Any]:
        work = await serve(call)
        version = version_in(etag(call.request))
        if version is None:
            return work
        key = work.key
        if key is None:
            raise TypeError(f"{rpc.descriptor.full_name} takes an etag: its Work needs the key of its resource")

        def apply(session: Session) -> Any:
            if not schema.rows.lock(session, key, version):
                raise not_found(schema.names.format(key))
            return work.apply(session)

        return replace(work, apply=apply, atomic=True)

    return on_version


def _etag(rpc: Rpc) -> Callable[[Any], str] | None:
    """Return the function from a request to its etag: its own, or that of the resource in an Update."""
    if ETAG in rpc.asks.fields:
        return rpc.asks.etag
    if rpc.body is not None and "update_mask" in rpc.asks.fields and rpc.schema.version is not None:
        return attrgetter(f"{rpc.body}.{ETAG}")
    return None


def require_etag(rpc: Rpc) -> None:
    """Require that a resource has an etag where a request of it does.

    Raises:
        DeclarationError: It has none.
    """
    if ETAG in rpc.asks.fields and rpc.schema.version is None:
        raise DeclarationError(
            f"{rpc.descriptor.input_type.full_name} has an etag, and {rpc.schema.descriptor.full_name} has none:"
            " give it `string etag`, and its model tablestakes.Versioned"
        )
