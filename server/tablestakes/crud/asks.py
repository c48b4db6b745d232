"""The standard fields of a request, each found once at start by its name and type."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor

from tablestakes.crud.declaration import DeclarationError

STRING = FieldDescriptor.TYPE_STRING
INT32 = FieldDescriptor.TYPE_INT32
BOOL = FieldDescriptor.TYPE_BOOL
FIELD_MASK = "google.protobuf.FieldMask"
SHOW_DELETED = "show_deleted"

STANDARD: dict[str, int | str] = {
    "parent": STRING,
    "update_mask": FIELD_MASK,
    "read_mask": FIELD_MASK,
    "page_size": INT32,
    "page_token": STRING,
    "force": BOOL,
    "validate_only": BOOL,
    "etag": STRING,
    "allow_missing": BOOL,
    "request_id": STRING,
    SHOW_DELETED: BOOL,
}
"""The type of each standard field, or the full name of its message."""

UNSERVED = frozenset(
    {
        "etag",
        "allow_missing",
        SHOW_DELETED,
        "filter",
        "order_by",
        "read_mask",
        "skip",
        "return_partial_success",
    }
)
"""Fields whose meaning the AIPs define and that a standard method serves only where its verb says so. To ignore one
would be to do something else than the caller asked for, so a request that has it is refused at start."""


@dataclass(frozen=True)
class Asks:
    """The standard fields of the requests of one method, each as a function of the request.

    Where the proto has no such field, the function returns what its absence means.

    Attributes:
        fields: The names of the standard fields that the request has.
        update_mask: The paths to write (AIP-134); none for every field that is set.
        read_mask: The paths to read (AIP-157); none for what the view says.
        force: Whether to delete what is below as well (AIP-135).
        validate_only: Whether to do everything but keep its effect (AIP-163).
        etag: The etag that the resource must have (AIP-154), "" for any: the request's own, or that of the resource
            in an Update.
        allow_missing: Whether it is no error that the resource does not exist (AIP-134, AIP-135).
        request_id: The id by which the call may be repeated (AIP-155); "" for none.
        show_deleted: Whether to return resources that are deleted softly too (AIP-164).
        basic: Whether the caller chose the BASIC view (AIP-157), given what no choice means.
        view: The number of the view that the caller chose, 0 without a choice.
    """

    fields: frozenset[str]
    update_mask: Callable[[Any], Sequence[str]]
    read_mask: Callable[[Any], Sequence[str]]
    force: Callable[[Any], bool]
    validate_only: Callable[[Any], bool]
    etag: Callable[[Any], str]
    allow_missing: Callable[[Any], bool]
    request_id: Callable[[Any], str]
    show_deleted: Callable[[Any], bool]
    basic: Callable[[Any, bool], bool]
    view: Callable[[Any], int]

    @staticmethod
    def of(request: Descriptor) -> "Asks":
        """Find the standard fields of a request.

        Raises:
            DeclarationError: A field has the name of a standard one, and another type.
        """
        fields = set()
        for name, kind in STANDARD.items():
            field = request.fields_by_name.get(name)
            if field is None:
                continue
            found = field.message_type.full_name if field.message_type else field.type
            if found != kind or field.is_repeated:
                raise DeclarationError(f"{field.full_name} is not of the type that a standard method needs")
            fields.add(name)

        def read(name: str, path: str, absent: Any) -> Callable[[Any], Any]:
            return attrgetter(path) if name in fields else lambda _: absent

        return Asks(
            fields=frozenset(fields),
            update_mask=read("update_mask", "update_mask.paths", ()),
            read_mask=read("read_mask", "read_mask.paths", ()),
            force=read("force", "force", False),
            validate_only=read("validate_only", "validate_only", False),
            etag=read("etag", "etag", ""),
            allow_missing=read("allow_missing", "allow_missing", False),
            request_id=read("request_id", "request_id", ""),
            show_deleted=read(SHOW_DELETED, SHOW_DELETED, False),
            basic=_basic(request),
            view=attrgetter("view") if _view_of(request) else lambda _: 0,
        )


def _basic(request: Descriptor) -> Callable[[Any, bool], bool]:
    view = _view_of(request)
    if view is None:
        return lambda _request, _by_default: False
    basic = {value.number for value in view.values if value.name.endswith("BASIC")}
    return lambda request, by_default: request.view in basic or (by_default and not request.view)


def _view_of(request: Descriptor) -> EnumDescriptor | None:
    field = request.fields_by_name.get("view")
    return None if field is None else field.enum_type
