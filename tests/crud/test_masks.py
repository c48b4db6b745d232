"""Update masks: what holds for every mask, on every resource there is."""

from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from marketplace.v1 import user_pb2

from marketplace_service.api import RESOURCES
from tablestakes.crud.schema import Plan, compile_plans
from tablestakes.crud.schema.behavior import INPUT_ONLY, behaves
from tablestakes.crud.verb.mask import PATH, fields_to_write
from tests.contract.sample import sample, settable, spoil
from tests.crud.rejection import rejected
from tests.gadgets import GADGET, gadget_pb2

EVERY = compile_plans([*RESOURCES, GADGET])
USER, GADGETS = EVERY["marketplace.v1.User"], EVERY["gadget.v1.Gadget"]
# A resource of which callers may set nothing has no masks.
PLANS = [plan for plan in EVERY.values() if plan.writable]

checked = settings(deadline=None, max_examples=25)
each_resource = pytest.mark.parametrize("plan", PLANS, ids=[plan.descriptor.name for plan in PLANS])


def selected(plan: Plan, *paths: str, message: Any = None) -> list[str]:
    """Return the names of the fields that a mask selects, in the order in which it does."""
    return [
        field.name for field in fields_to_write(plan, paths, message if message is not None else plan.message())
    ]


def in_order(plan: Plan, names: set[str]) -> list[str]:
    """Return names of fields in the order in which the proto has them."""
    return [field.name for field in plan.descriptor.fields if field.name in names]


def known(plan: Plan) -> list[str]:
    """Return the names of all fields, also of those that callers may not set."""
    return [field.name for field in plan.descriptor.fields]


@each_resource
@checked
@given(data=st.data())
def test_a_mask_selects_what_it_names(plan: Plan, data: st.DataObject) -> None:
    """Paths select their fields in the message's order, whatever the order and the repetition of the paths."""
    paths = data.draw(st.lists(st.sampled_from(sorted(plan.writable)), min_size=1, max_size=20))
    assert selected(plan, *paths) == in_order(plan, set(paths))


@each_resource
@checked
@given(data=st.data())
def test_what_a_mask_selects_does_not_depend_on_the_message(plan: Plan, data: st.DataObject) -> None:
    """Paths select the same fields whichever of them have a value."""
    paths = data.draw(st.lists(st.sampled_from(sorted(plan.writable)), min_size=1))
    filled = sample(plan.message, data.draw(st.sets(st.sampled_from(sorted(plan.writable)))))
    assert selected(plan, *paths, message=filled) == selected(plan, *paths)


@each_resource
@checked
@given(data=st.data())
def test_read_only_paths_select_nothing(plan: Plan, data: st.DataObject) -> None:
    """The paths of fields that callers may not set add nothing to a mask, and take nothing from it."""
    paths = data.draw(st.lists(st.sampled_from(known(plan)), min_size=1, max_size=20))
    assert selected(plan, *paths) == in_order(plan, set(paths) & plan.writable)


@each_resource
@checked
@given(data=st.data())
def test_no_mask_selects_what_has_a_value(plan: Plan, data: st.DataObject) -> None:
    """Without paths exactly the fields that are set are selected."""
    fields = data.draw(st.sets(st.sampled_from(sorted(plan.writable))))
    assert selected(plan, message=sample(plan.message, fields)) == in_order(plan, fields)


def test_a_field_that_is_set_to_its_zero_value_has_one() -> None:
    """Without paths an optional field that is set is selected, also where it is set to nothing or to false."""
    assert selected(USER, message=user_pb2.User(active=False)) == ["active"]
    assert selected(GADGETS, message=gadget_pb2.Gadget(weight=0, note="", due_time={})) == [
        "weight",
        "note",
        "due_time",
    ]
    assert selected(GADGETS, message=gadget_pb2.Gadget(series="", level=0, ratio=0.0, blob=b"")) == []


@each_resource
def test_without_a_mask_what_callers_may_not_set_is_left_out(plan: Plan) -> None:
    """Without paths a name and read-only fields that are sent are not selected."""
    sent: Any = plan.message()
    spoil(sent)
    sent.name = "anything"
    assert selected(plan, message=sent) == []


@each_resource
def test_a_star_selects_all_that_callers_may_set(plan: Plan) -> None:
    """`*` selects every field that callers may set, but for INPUT_ONLY ones that have no value."""
    everything = in_order(plan, {field.name for field in settable(plan.descriptor)})
    assert selected(plan, "*", message=sample(plan.message)) == everything == in_order(plan, set(plan.writable))
    never_told = {field.name for field in settable(plan.descriptor) if behaves(field, INPUT_ONLY)}
    assert selected(plan, "*") == in_order(plan, set(everything) - never_told)


@each_resource
@checked
@given(data=st.data())
def test_a_star_suffers_no_company(plan: Plan, data: st.DataObject) -> None:
    """`*` with any other path, before or after it, is refused."""
    beside = data.draw(st.lists(st.sampled_from(known(plan)) | st.text(), min_size=1, max_size=4))
    for paths in (["*", *beside], [*beside, "*"]):
        assert rejected(PATH, fields_to_write, plan, paths, plan.message()).reason == "INVALID_FIELD_MASK"


@each_resource
@checked
@given(data=st.data(), path=st.text())
def test_any_text_but_a_field_is_refused(plan: Plan, data: st.DataObject, path: str) -> None:
    """A path that begins with no field's name is refused, among good ones too, and the error repeats it."""
    assume(path != "*")
    assume(path.partition(".")[0] not in known(plan))
    paths = data.draw(st.lists(st.sampled_from(known(plan)), max_size=3))
    position = data.draw(st.integers(0, len(paths)))
    told = rejected(PATH, fields_to_write, plan, [*paths[:position], path, *paths[position:]], plan.message())
    assert told.reason == "UNKNOWN_FIELD"
    assert repr(path) in told.message


@each_resource
@checked
@given(data=st.data())
def test_a_field_with_a_letter_more_or_less_is_refused(plan: Plan, data: st.DataObject) -> None:
    """A path that only resembles a field, in case or in a letter, is no field."""
    name = data.draw(st.sampled_from(known(plan)))
    path = data.draw(st.sampled_from([name.upper(), name.title(), f" {name}", f"{name} ", name[:-1], f"{name}s"]))
    assume(path not in known(plan))
    assert rejected(PATH, fields_to_write, plan, [path], plan.message()).reason == "UNKNOWN_FIELD"


@each_resource
@checked
@given(data=st.data(), below=st.text())
def test_a_path_into_a_field_is_refused(plan: Plan, data: st.DataObject, below: str) -> None:
    """A path that goes below a field which callers may set is refused: the field is written as a whole."""
    path = f"{data.draw(st.sampled_from(sorted(plan.writable)))}.{below}"
    told = rejected(PATH, fields_to_write, plan, [path], plan.message())
    assert told.reason == "INVALID_FIELD_MASK"
    assert repr(path) in told.message


@each_resource
def test_a_path_that_ends_in_a_dot_is_refused(plan: Plan) -> None:
    """A field's name with a dot after it is no path, also where callers may not set the field."""
    for name in known(plan):
        told = rejected(PATH, fields_to_write, plan, [f"{name}."], plan.message())
        assert told.reason == ("INVALID_FIELD_MASK" if name in plan.writable else "UNKNOWN_FIELD")


@each_resource
@pytest.mark.parametrize("path", ["name.x", "create_time.bogus", "create_time.seconds.x", "create_time..seconds"])
def test_a_path_to_nothing_in_a_read_only_field_is_refused(plan: Plan, path: str) -> None:
    """A path into a read-only field is refused where the field has nothing of that name."""
    told = rejected(PATH, fields_to_write, plan, [path], plan.message())
    assert told.reason == "UNKNOWN_FIELD"
    assert repr(path) in told.message


@each_resource
def test_a_path_into_a_read_only_field_selects_nothing(plan: Plan) -> None:
    """A path into a read-only field selects nothing where the field has something of that name."""
    assert selected(plan, "create_time.seconds") == []


def test_a_misspelt_path_in_a_read_only_field_is_told_what_it_may_have_meant() -> None:
    """The error for an unknown path into a message names the field of that message which resembles it."""
    told = rejected(PATH, fields_to_write, USER, ["create_time.second"], user_pb2.User())
    assert told.message.endswith("; did you mean seconds?")


def test_a_misspelt_path_is_told_what_it_may_have_meant() -> None:
    """The error for an unknown path names the field that resembles it."""
    told = rejected(PATH, fields_to_write, USER, ["ful_name"], user_pb2.User())
    assert told.message == "update_mask: 'ful_name' is not a field of the resource; did you mean full_name?"
