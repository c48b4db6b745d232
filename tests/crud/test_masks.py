"""Update masks: properties of every mask, on every resource there is."""

from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from marketplace.v1 import user_pb2

from marketplace_service.api import RESOURCES
from tablestakes.crud.schema.behavior import INPUT_ONLY, behaves
from tablestakes.crud.schema.schema import Schema, compile_schemas
from tablestakes.crud.update_mask import PATH, fields_to_write
from tablestakes.testing.sample import sample, settable, spoil
from tests.crud.invalid_argument import rejected
from tests.gadgets import GADGET, gadget_pb2

EVERY = compile_schemas([*RESOURCES, GADGET])
USER, GADGETS = EVERY["marketplace.v1.User"], EVERY["gadget.v1.Gadget"]
# A resource of which callers may set nothing has no masks.
SCHEMAS = [schema for schema in EVERY.values() if schema.writable]

checked = settings(deadline=None, max_examples=25)
each_resource = pytest.mark.parametrize("schema", SCHEMAS, ids=[schema.descriptor.name for schema in SCHEMAS])


def selected(schema: Schema, *paths: str, message: Any = None) -> list[str]:
    """Return the names of the fields that a mask selects, in the order in which it does."""
    written = fields_to_write(schema, paths, message if message is not None else schema.message())
    assert not written.inside
    return [field.name for field in written.whole]


def in_order(schema: Schema, names: set[str]) -> list[str]:
    """Return names of fields in the order in which the proto has them."""
    return [field.name for field in schema.descriptor.fields if field.name in names]


def known(schema: Schema) -> list[str]:
    """Return the names of all fields, also of those that callers may not set."""
    return [field.name for field in schema.descriptor.fields]


@each_resource
@checked
@given(data=st.data())
def test_a_mask_selects_the_fields_that_it_names(schema: Schema, data: st.DataObject) -> None:
    """Paths select their fields in the message's order, whatever the order and the repetition of the paths."""
    paths = data.draw(st.lists(st.sampled_from(sorted(schema.writable)), min_size=1, max_size=20))
    assert selected(schema, *paths) == in_order(schema, set(paths))


@each_resource
@checked
@given(data=st.data())
def test_a_mask_selects_the_same_fields_of_any_message(schema: Schema, data: st.DataObject) -> None:
    """Paths select the same fields whichever of them have a value."""
    paths = data.draw(st.lists(st.sampled_from(sorted(schema.writable)), min_size=1))
    filled = sample(schema.message, data.draw(st.sets(st.sampled_from(sorted(schema.writable)))))
    assert selected(schema, *paths, message=filled) == selected(schema, *paths)


@each_resource
@checked
@given(data=st.data())
def test_read_only_paths_select_nothing(schema: Schema, data: st.DataObject) -> None:
    """The paths of fields that callers may not set add nothing to a mask, and take nothing from it."""
    paths = data.draw(st.lists(st.sampled_from(known(schema)), min_size=1, max_size=20))
    assert selected(schema, *paths) == in_order(schema, set(paths) & schema.writable)


@each_resource
@checked
@given(data=st.data())
def test_an_empty_mask_selects_the_fields_that_are_set(schema: Schema, data: st.DataObject) -> None:
    """Without paths exactly the fields that are set are selected."""
    fields = data.draw(st.sets(st.sampled_from(sorted(schema.writable))))
    assert selected(schema, message=sample(schema.message, fields)) == in_order(schema, fields)


def test_an_optional_field_that_is_set_to_its_zero_value_is_set() -> None:
    """Without paths an optional field that is set is selected, also where it is set to nothing or to false."""
    assert selected(USER, message=user_pb2.User(active=False)) == ["active"]
    assert selected(GADGETS, message=gadget_pb2.Gadget(weight=0, note="", due_time={})) == [
        "weight",
        "note",
        "due_time",
    ]
    assert selected(GADGETS, message=gadget_pb2.Gadget(series="", level=0, ratio=0.0, blob=b"")) == []


@each_resource
def test_an_empty_mask_selects_no_read_only_field(schema: Schema) -> None:
    """Without paths a name and read-only fields that are sent are not selected."""
    sent: Any = schema.message()
    spoil(sent)
    sent.name = "anything"
    assert selected(schema, message=sent) == []


@each_resource
def test_a_star_selects_every_writable_field(schema: Schema) -> None:
    """`*` selects every field that callers may set, but for INPUT_ONLY ones that have no value."""
    everything = in_order(schema, {field.name for field in settable(schema.descriptor)})
    assert (
        selected(schema, "*", message=sample(schema.message))
        == everything
        == in_order(schema, set(schema.writable))
    )
    never_returned = {field.name for field in settable(schema.descriptor) if behaves(field, INPUT_ONLY)}
    assert selected(schema, "*") == in_order(schema, set(everything) - never_returned)


@each_resource
@checked
@given(data=st.data())
def test_a_star_must_be_the_only_path(schema: Schema, data: st.DataObject) -> None:
    """`*` with any other path, before or after it, is refused."""
    beside = data.draw(st.lists(st.sampled_from(known(schema)) | st.text(), min_size=1, max_size=4))
    for paths in (["*", *beside], [*beside, "*"]):
        assert rejected(PATH, fields_to_write, schema, paths, schema.message()).reason == "INVALID_FIELD_MASK"


@each_resource
@checked
@given(data=st.data(), path=st.text())
def test_a_path_that_is_no_field_is_refused(schema: Schema, data: st.DataObject, path: str) -> None:
    """A path that begins with no field's name is refused, among good ones too, and the error repeats it."""
    assume(path != "*")
    assume(path.partition(".")[0] not in known(schema))
    paths = data.draw(st.lists(st.sampled_from(known(schema)), max_size=3))
    position = data.draw(st.integers(0, len(paths)))
    error = rejected(PATH, fields_to_write, schema, [*paths[:position], path, *paths[position:]], schema.message())
    assert error.reason == "UNKNOWN_FIELD"
    assert repr(path) in error.message


@each_resource
@checked
@given(data=st.data())
def test_a_field_with_a_letter_more_or_less_is_refused(schema: Schema, data: st.DataObject) -> None:
    """A path that only resembles a field, in case or in a letter, is no field."""
    name = data.draw(st.sampled_from(known(schema)))
    path = data.draw(st.sampled_from([name.upper(), name.title(), f" {name}", f"{name} ", name[:-1], f"{name}s"]))
    assume(path not in known(schema))
    assert rejected(PATH, fields_to_write, schema, [path], schema.message()).reason == "UNKNOWN_FIELD"


@each_resource
@checked
@given(data=st.data(), below=st.text())
def test_a_path_into_a_field_is_refused(schema: Schema, data: st.DataObject, below: str) -> None:
    """A path into a value, a list or a map is refused: it is written as a whole; a message has no such field."""
    name = data.draw(st.sampled_from(sorted(schema.writable)))
    inside = has_fields(schema, name)
    assume(below.partition(".")[0] not in ("year", "month", "day"))
    error = rejected(PATH, fields_to_write, schema, [f"{name}.{below}"], schema.message())
    assert error.reason == ("UNKNOWN_FIELD" if inside else "INVALID_FIELD_MASK")
    assert repr(f"{name}.{below}") in error.message


@each_resource
def test_a_path_that_ends_in_a_dot_is_refused(schema: Schema) -> None:
    """A field's name with a dot after it is no path, also where callers may not set the field."""
    for name in known(schema):
        error = rejected(PATH, fields_to_write, schema, [f"{name}."], schema.message())
        whole = name in schema.writable and not has_fields(schema, name)
        assert error.reason == ("INVALID_FIELD_MASK" if whole else "UNKNOWN_FIELD")


def has_fields(schema: Schema, name: str) -> bool:
    """Return whether a field holds one message that has fields to be written one by one."""
    field = schema.descriptor.fields_by_name[name]
    return field.message_type is not None and not field.is_repeated


@each_resource
@pytest.mark.parametrize("path", ["name.x", "create_time.bogus", "create_time.seconds.x", "create_time..seconds"])
def test_a_path_to_nothing_in_a_read_only_field_is_refused(schema: Schema, path: str) -> None:
    """A path into a read-only field is refused where the field has nothing of that name."""
    error = rejected(PATH, fields_to_write, schema, [path], schema.message())
    assert error.reason == "UNKNOWN_FIELD"
    assert repr(path) in error.message


@each_resource
def test_a_path_into_a_read_only_field_selects_nothing(schema: Schema) -> None:
    """A path into a read-only field selects nothing where the field has something of that name."""
    assert selected(schema, "create_time.seconds") == []


def test_a_misspelt_path_in_a_read_only_field_gets_a_hint() -> None:
    """The error for an unknown path into a message names the field of that message which resembles it."""
    error = rejected(PATH, fields_to_write, USER, ["create_time.second"], user_pb2.User())
    assert error.message.endswith("; did you mean seconds?")


def test_a_misspelt_path_gets_a_hint() -> None:
    """The error for an unknown path names the field that resembles it."""
    error = rejected(PATH, fields_to_write, USER, ["ful_name"], user_pb2.User())
    assert error.message == "update_mask: 'ful_name' is not a field of the resource; did you mean full_name?"
