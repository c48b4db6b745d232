"""Whether a method's request and response have the fields that serving it needs."""

from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor

from tablestakes.crud.declaration import DeclarationError, likely

EMPTY = "google.protobuf.Empty"


def require(message: Descriptor, **fields: int | str) -> None:
    """Require fields of a message, each of a type, or of a message by its full name.

    Raises:
        DeclarationError: One is missing, repeated, or of another type.
    """
    for name, kind in fields.items():
        field = message.fields_by_name.get(name)
        if field is None:
            # A standard field that is there is not a misspelling of the one that is not.
            others = message.fields_by_name.keys() - fields.keys()
            hint = f"; {likely(name, others)}" if others else ""
            raise DeclarationError(f"{message.full_name} needs a field {name}{hint}")
        found = field.message_type.full_name if field.message_type else field.type
        if found != kind or field.is_repeated:
            raise DeclarationError(f"{field.full_name} is not of the type that a standard method needs")


def has_field(message: Descriptor, name: str, kind: int) -> bool:
    """Return whether a message has an optional field of a standard method.

    Raises:
        DeclarationError: It is repeated, or of another type.
    """
    if name not in message.fields_by_name:
        return False
    require(message, **{name: kind})
    return True


def map_entry(field: FieldDescriptor) -> Descriptor | None:
    """Return the message of a map's entries, which a map is a list of by its descriptor; None for no map."""
    message = field.message_type
    return message if message is not None and message.GetOptions().map_entry else None


def find_field(message: Descriptor, of: Descriptor, *, repeated: bool = False) -> str | None:
    """Return the name of the field of a message that holds a resource, or a page of them; None without one."""
    for field in message.fields:
        if field.message_type is of and field.is_repeated == repeated and map_entry(field) is None:
            return field.name
    return None


def require_field(message: Descriptor, of: Descriptor, *, repeated: bool = False) -> str:
    """Return the name of the field of a message that holds a resource, or a page of them.

    Raises:
        DeclarationError: There is none.
    """
    found = find_field(message, of, repeated=repeated)
    if found is None:
        many = "repeated " if repeated else ""
        raise DeclarationError(f"{message.full_name} needs a field of the type {many}{of.name}")
    return found


def require_response(method: MethodDescriptor, full_name: str) -> None:
    """Require that a method returns a message, by its full name.

    Raises:
        DeclarationError: It returns another message.
    """
    if method.output_type.full_name != full_name:
        raise DeclarationError(
            f"{method.full_name} returns {method.output_type.full_name}, and must return {full_name}"
        )


def require_names(message: Descriptor) -> None:
    """Require the field `names` of a message: many names (AIP-231).

    Raises:
        DeclarationError: It is missing, or of another type.
    """
    require_strings(message, "names")


def require_strings(message: Descriptor, name: str) -> None:
    """Require a field of a message that holds many strings.

    Raises:
        DeclarationError: It is missing, or of another type.
    """
    field = message.fields_by_name.get(name)
    if field is None or not field.is_repeated or field.type != FieldDescriptor.TYPE_STRING:
        raise DeclarationError(f"{message.full_name} needs a field `repeated string {name}`")


def require_repeated(message: Descriptor, name: str, of: Descriptor) -> None:
    """Require a repeated field of a message that holds messages of a type.

    Raises:
        DeclarationError: It is missing, or of another type.
    """
    field = message.fields_by_name.get(name)
    if field is None or not field.is_repeated or field.message_type is not of:
        raise DeclarationError(f"{message.full_name} needs a field `repeated {of.name} {name}`")


def require_one_request(method: MethodDescriptor) -> None:
    """Require that a method takes one message.

    Raises:
        DeclarationError: Its callers stream.
    """
    if method.client_streaming:
        raise DeclarationError(f"{method.full_name} has a stream of requests, and only one request is served")


def require_streaming(method: MethodDescriptor, *, streams: bool) -> None:
    """Require that a method returns a stream of messages, or one message.

    Raises:
        DeclarationError: It returns the other.
    """
    if method.server_streaming != streams:
        wanted = "a stream" if streams else "one message"
        raise DeclarationError(f"{method.full_name} must return {wanted}, as its standard method does")
