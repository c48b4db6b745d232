"""Whether a method's request and response have the fields that serving it needs."""

from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor

from tablestakes.crud.declaration import DeclarationError, likely
from tablestakes.crud.schema import Plan

STRING = FieldDescriptor.TYPE_STRING
INT32 = FieldDescriptor.TYPE_INT32
BOOL = FieldDescriptor.TYPE_BOOL
FIELD_MASK = "google.protobuf.FieldMask"
EMPTY = "google.protobuf.Empty"


def require(message: Descriptor, **fields: int | str) -> None:
    """Require fields of a message, each of a type, or of a message by its full name.

    Raises:
        DeclarationError: One is missing, repeated, or of another type.
    """
    for name, kind in fields.items():
        field = message.fields_by_name.get(name)
        if field is None:
            # The standard fields that are there are not what was meant by the one that is not.
            others = message.fields_by_name.keys() - fields.keys()
            hint = f"; {likely(name, others)}" if others else ""
            raise DeclarationError(f"{message.full_name} needs a field {name}{hint}")
        found = field.message_type.full_name if field.message_type else field.type
        if found != kind or field.is_repeated:
            raise DeclarationError(f"{field.full_name} is not of the type that a standard method needs")


def field_of(message: Descriptor, plan: Plan, *, repeated: bool = False) -> str:
    """Return the name of the field of a message that holds the resource, or a page of them.

    Raises:
        DeclarationError: There is none.
    """
    for field in message.fields:
        if field.message_type is plan.descriptor and field.is_repeated == repeated:
            return field.name
    many = "repeated " if repeated else ""
    raise DeclarationError(f"{message.full_name} needs a field of the type {many}{plan.descriptor.name}")


def require_response(method: MethodDescriptor, full_name: str) -> None:
    """Require what a method returns.

    Raises:
        DeclarationError: It returns another message.
    """
    if method.output_type.full_name != full_name:
        raise DeclarationError(
            f"{method.full_name} returns {method.output_type.full_name}, and must return {full_name}"
        )


def require_unary(method: MethodDescriptor) -> None:
    """Require that a method takes one message and returns one.

    Raises:
        DeclarationError: It streams.
    """
    if method.client_streaming or method.server_streaming:
        raise DeclarationError(f"{method.full_name} streams, and only unary methods are served")
