"""Turning a call away: its answer is packed once for each method, and costs no exception."""

from collections.abc import Callable

from tablestakes.admission.refusal import ALL, Refusal
from tablestakes.crud.method import Method
from tablestakes.database.unit import Unit
from tablestakes.edge.answer import DETAILS_KEY, status
from tablestakes.edge.handler import Context
from tablestakes.edge.translate import translate
from tablestakes.telemetry import CODES

Refuse = Callable[[Context, Refusal], tuple[str, str]]


def refuser(method: Method) -> Refuse:
    """Return the function that answers a call of a method which is turned away.

    It returns the name of the code and the reason of the answer, and leaves it to gRPC to send it once the handler
    has returned.

    Args:
        method: The method.
    """
    packed = {}
    for refusal in ALL:
        for each in refusal.statuses:
            # As any other error of the method: a write says besides that it was not applied.
            answered = translate(each, method, Unit())
            details = ((DETAILS_KEY, status(answered, method.domain).SerializeToString()),)
            packed[id(each)] = (answered.code, answered.message, details, CODES[answered.code.value[0]])

    def refuse(context: Context, refusal: Refusal) -> tuple[str, str]:
        given = refusal.status()
        code, message, details, name = packed[id(given)]
        context.set_code(code)
        context.set_details(message)
        context.set_trailing_metadata(details)
        return name, given.reason

    return refuse
