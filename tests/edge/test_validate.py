"""The rules of a request: a violation is named by its path, in messages that contain themselves too."""

from typing import Any

import pytest
from grpc import StatusCode
from sqlalchemy import JSON, MetaData
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from tablestakes import Method, Resource, StatusError
from tablestakes.crud.bind import bind
from tablestakes.crud.query.token import PageTokens
from tablestakes.edge.validate import validator
from tests.crud.stubs import stubs_of

folder_pb2 = stubs_of(
    "folder",
    """
syntax = "proto3";
package folder.v1;
import "buf/validate/validate.proto";
import "google/api/field_behavior.proto";
import "google/api/resource.proto";
import "google/protobuf/field_mask.proto";

service FolderService {
  rpc CreateFolder(CreateFolderRequest) returns (Folder);
  rpc UpdateFolder(UpdateFolderRequest) returns (Folder);
}
message Folder {
  option (google.api.resource) = {
    type: "folder.example.com/Folder"
    pattern: "folders/{folder}"
    plural: "folders"
  };
  string name = 1 [(google.api.field_behavior) = IDENTIFIER];
  Node root = 2 [(google.api.field_behavior) = REQUIRED];
  string label = 3 [(google.api.field_behavior) = REQUIRED];
}
message Node {
  string title = 1 [(google.api.field_behavior) = REQUIRED];
  Node next = 2;
  repeated Node nodes = 3;
  map<string, Node> by_key = 4;
  Other other = 5;
  string code = 6 [(buf.validate.field).string.max_len = 3];
}
// It contains a Node, which contains it.
message Other {
  Node node = 1;
  optional int32 count = 2 [(google.api.field_behavior) = REQUIRED];
}
message CreateFolderRequest { Folder folder = 1 [(google.api.field_behavior) = REQUIRED]; }
message UpdateFolderRequest {
  Folder folder = 1 [(google.api.field_behavior) = REQUIRED];
  google.protobuf.FieldMask update_mask = 2;
}
""",
)
Node = folder_pb2.Node


class Base(DeclarativeBase):
    """The base of the one table."""

    metadata = MetaData()


class Folder(Base):
    """A table of folders."""

    __tablename__ = "folders"

    id: Mapped[int] = mapped_column(primary_key=True)
    root: Mapped[Any] = mapped_column(JSON(none_as_null=True))
    label: Mapped[str]


METHODS: dict[str, Method] = {
    method.name: method for method in bind([Resource(message=folder_pb2.Folder, model=Folder)], PageTokens(b"key"))
}


def violations(root: Any, *paths: str, label: str = "label", method: str = "CreateFolder") -> dict[str, str]:
    """Return the reasons of the violations in a request with a root, by path; none where it is valid."""
    folder = folder_pb2.Folder(name="folders/1", root=root, label=label)
    request = METHODS[method].request(folder=folder)
    if method == "UpdateFolder":
        request = METHODS[method].request(folder=folder, update_mask={"paths": paths})
    try:
        validator(METHODS[method])(request)
    except StatusError as error:
        assert error.code is StatusCode.INVALID_ARGUMENT  # noqa: PT017 - both outcomes are looked at
        return {violation.field: violation.reason for violation in error.violations}
    return {}


def test_a_message_that_contains_itself_is_bound_and_validated() -> None:
    """A method whose request contains a message that contains itself starts, and takes a valid request."""
    inner = Node(title="inner", other={"count": 0, "node": Node(title="innermost")})
    assert violations(Node(title="root", next=inner, nodes=[inner, inner], by_key={"a": inner})) == {}


@pytest.mark.parametrize(
    ("root", "path"),
    [
        (Node(), "folder.root.title"),
        (Node(title="1", next=Node()), "folder.root.next.title"),
        (Node(title="1", next=Node(title="2", next=Node())), "folder.root.next.next.title"),
        (Node(title="1", nodes=[Node(title="2"), Node()]), "folder.root.nodes[1].title"),
        (Node(title="1", nodes=[Node(title="2", nodes=[Node()])]), "folder.root.nodes[0].nodes[0].title"),
        (Node(title="1", other={}), "folder.root.other.count"),
        (Node(title="1", other={"count": 1, "node": Node()}), "folder.root.other.node.title"),
    ],
)
def test_a_required_field_inside_is_named_by_its_path(root: Any, path: str) -> None:
    """A missing REQUIRED field is named by its whole path, at any depth of a message that contains itself."""
    assert violations(root) == {path: "REQUIRED_FIELD"}


def test_every_missing_field_is_named_at_once() -> None:
    """All REQUIRED fields that are missing, and all broken rules of buf.validate, are named in one answer."""
    root = Node(code="long", next=Node(nodes=[Node(), Node(title="here", code="longer")]))
    assert violations(root, label="") == {
        "folder.label": "REQUIRED_FIELD",
        "folder.root.title": "REQUIRED_FIELD",
        "folder.root.next.title": "REQUIRED_FIELD",
        "folder.root.next.nodes[0].title": "REQUIRED_FIELD",
        "folder.root.code": "STRING_MAX_LEN",
        "folder.root.next.nodes[1].code": "STRING_MAX_LEN",
    }


def test_an_update_is_held_to_the_fields_that_it_writes() -> None:
    """Of a resource that an Update sends, only the fields in its mask count, with everything inside them."""
    root = Node(title="1", next=Node())
    assert violations(root, "label", method="UpdateFolder") == {}
    assert violations(root, "root", label="", method="UpdateFolder") == {"folder.root.next.title": "REQUIRED_FIELD"}
    assert violations(Node(title="1"), "root", label="", method="UpdateFolder") == {}


def test_a_message_as_deep_as_the_parser_reads_is_validated() -> None:
    """A request nested nearly as deep as protobuf parses is validated to its innermost message."""
    root = Node()
    for _ in range(90):
        root = Node(title="outer", next=root)
    assert violations(root) == {f"folder.root{'.next' * 90}.title": "REQUIRED_FIELD"}
