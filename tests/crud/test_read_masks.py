"""Read masks: properties of every mask, with an oracle in plain Python over the whole message."""

import gc
import tracemalloc
from contextlib import suppress
from typing import Any

import pytest
from google.protobuf.descriptor import Descriptor
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sqlalchemy.dialects import postgresql, sqlite

from marketplace_service.api import RESOURCES
from tablestakes.crud.schema.collection import padded
from tablestakes.crud.schema.mask import MAX_CHARACTERS, WHOLE, Mask, prune, read_mask
from tablestakes.crud.schema.schema import Schema, compile_schemas
from tablestakes.crud.schema.view import KEPT_VIEWS
from tablestakes.errors import StatusError
from tablestakes.testing.projection import projected
from tablestakes.testing.sample import is_map, sample
from tests.crud.invalid_argument import rejected
from tests.gadgets import GADGET
from tests.library.service import SERVICE as LIBRARY
from tests.library.stubs import library_pb2

EVERY = compile_schemas([*RESOURCES, GADGET])
SHELF = library_pb2.Shelf.DESCRIPTOR
LIBRARIANS = compile_schemas(LIBRARY.resources, LIBRARY.codecs)
BOOK = LIBRARIANS["library.v1.Book"]
GADGETS, POST, ORDER = (
    EVERY[f"{name}"] for name in ("gadget.v1.Gadget", "marketplace.v1.Post", "marketplace.v1.Order")
)

checked = settings(deadline=None, max_examples=60)
KEYS = ("red", "two words", "1.5", "")


def quoted(key: str) -> str:
    """Return a key as a mask spells it."""
    return key if key.isalnum() else f"`{key}`"


@st.composite
def paths(draw: st.DrawFn, message: Descriptor, most: int = 5) -> tuple[str, tuple[str, ...]]:
    """Draw a path of a message: as a mask spells it, and as its steps."""
    spelt: list[str] = []
    steps: list[str] = []
    at: Any = message
    while True:
        field = draw(st.sampled_from(list(at.fields)))
        spelt.append(field.name)
        steps.append(field.name)
        of = field.message_type
        if of is None or len(steps) >= most or draw(st.booleans()):
            break
        if is_map(field):
            key = draw(st.sampled_from(KEYS))
            every = draw(st.booleans())
            spelt.append("*" if every else quoted(key))
            steps.append("*" if every else key)
            of = of.fields_by_name["value"].message_type
            if of is None or draw(st.booleans()):
                break
        elif field.is_repeated and draw(st.booleans()):
            spelt.append("*")
            steps.append("*")
            if draw(st.booleans()):
                break
        at = of
    return ".".join(spelt), tuple(steps)


def place(depth: int) -> Any:
    """Return places inside places."""
    made = library_pb2.Place(room=f"room {depth}", floor=depth, signs=["a", "b"] * (depth % 2))
    if depth:
        made.inner.CopyFrom(place(depth - 1))
    return made


def shelf() -> Any:
    """Return a shelf with everything."""
    return library_pb2.Shelf(
        name="shelves/1", theme="Poems", place=place(4), size={"width": 1}, keepers=["readers/1", "readers/2"]
    )


def book() -> Any:
    """Return a book with everything."""
    made = sample(library_pb2.Book)
    made.name = "shelves/1/books/2"
    for key in KEYS:
        made.labels[key] = f"label {key}"
    made.chapters.add(heading="two", topics=["x"])
    return made


@checked
@given(data=st.data())
def test_a_mask_leaves_what_it_selects(data: st.DataObject) -> None:
    """A mask leaves of a message the parts that plain Python copies of it, path by path, whatever the paths."""
    whole = data.draw(st.sampled_from([shelf(), book(), sample(library_pb2.Chapter), library_pb2.Book()]))
    chosen = data.draw(st.lists(paths(whole.DESCRIPTOR), min_size=1, max_size=6))
    left = type(whole)()
    left.CopyFrom(whole)
    prune(left, read_mask(whole.DESCRIPTOR, [spelt for spelt, _ in chosen]))
    assert left == projected(whole, [steps for _, steps in chosen])


@checked
@given(data=st.data())
def test_a_mask_is_what_it_selects(data: st.DataObject) -> None:
    """Masks of the same paths in another order, or with a path twice, or with one inside another, are equal."""
    chosen = [spelt for spelt, _ in data.draw(st.lists(paths(BOOK.descriptor), min_size=1, max_size=6))]
    mask = read_mask(BOOK.descriptor, chosen)
    again = data.draw(st.permutations([*chosen, *chosen[:2]]))
    assert read_mask(BOOK.descriptor, again) == mask
    assert hash(read_mask(BOOK.descriptor, again)) == hash(mask)
    outer = [spelt.partition(".")[0] for spelt in chosen]
    assert read_mask(BOOK.descriptor, [*chosen, *outer]) == read_mask(BOOK.descriptor, outer)
    assert mask | mask == mask
    assert mask | WHOLE == WHOLE


@checked
@given(text=st.one_of(st.text(), st.text("abcnme.*`0123 items", max_size=40), st.from_regex(r"([a-z`*.0-9]+)")))
@example("labels.`")
@example("labels.``.x")
@example("." * 4000)
@example("place" + ".inner" * 600)
def test_any_text_is_a_path_or_is_refused(text: str) -> None:
    """Any text at all is a path, or is refused."""
    for message in (BOOK.descriptor, ORDER.descriptor, SHELF):
        with suppress(StatusError):
            assert isinstance(read_mask(message, [text]), Mask)


@pytest.mark.parametrize(
    ("message", "path", "problem"),
    [
        (POST.descriptor, "titel", "did you mean title?"),
        (POST.descriptor, "createTime", "did you mean create_time?"),
        (POST.descriptor, "tags.0", "by its place"),
        (ORDER.descriptor, "items.0.quantity", "names an item by its place"),
        (ORDER.descriptor, "items[0].quantity", "did you mean items?"),
        (ORDER.descriptor, "items.quantiti", "did you mean quantity?"),
        (BOOK.descriptor, "labels.red.x", "no fields of its own"),
        (BOOK.descriptor, "labels.`red", "backtick"),
        (BOOK.descriptor, "labels.`red`x", "needs a dot"),
        (BOOK.descriptor, "`title`", "is not a field"),
        (BOOK.descriptor, "price.*", "is not a field"),
        (SHELF, "place" + ".inner" * 100, "has more than 100 steps"),
    ],
)
def test_what_is_wrong_with_a_path_is_told(message: Descriptor, path: str, problem: str) -> None:
    """A path that is none is INVALID_ARGUMENT on `read_mask`, which says what is wrong with it."""
    error = rejected("read_mask", lambda: read_mask(message, ["name", path]))
    assert problem in error.violations[0].description


def test_a_mask_is_not_endless() -> None:
    """A mask with more characters than one may have is refused before it is read."""
    error = rejected("read_mask", lambda: read_mask(BOOK.descriptor, ["labels." + "x" * MAX_CHARACTERS]))
    assert error.violations[0].reason == "FIELD_MASK_TOO_LONG"


def test_a_key_that_looks_like_a_wildcard_is_a_key() -> None:
    """`*` in backticks is the key of that name, and `*` is every key; the two together are every key."""
    message = library_pb2.Book(labels={"*": "star", "red": "1"})
    for path, left in (("labels.`*`", {"*": "star"}), ("labels.*", {"*": "star", "red": "1"})):
        made = library_pb2.Book(labels=message.labels)
        prune(made, read_mask(BOOK.descriptor, [path]))
        assert dict(made.labels) == left
    assert read_mask(BOOK.descriptor, ["labels.`*`", "labels.*"]) == read_mask(BOOK.descriptor, ["labels"])


def test_a_mask_of_nothing_is_a_mask_of_everything() -> None:
    """No path, and `*` alone, select everything; `*` beside another path is refused."""
    assert read_mask(BOOK.descriptor, []) == read_mask(BOOK.descriptor, ["*"]) == WHOLE
    assert BOOK.views.of_paths(["*"]) is BOOK.full
    rejected("read_mask", lambda: read_mask(BOOK.descriptor, ["*", "name"]))


def test_basic_is_a_mask() -> None:
    """The BASIC view is that of the mask of its fields, and a mask of every other field is that very view."""
    cheap = [field.name for field in POST.descriptor.fields if field.name != "content"]
    assert POST.views.of(Mask.of_fields(cheap)) is POST.basic
    assert POST.views.of_paths(cheap[::-1]) is POST.basic


def test_only_the_columns_of_a_mask_are_selected() -> None:
    """A mask into a message of columns, and into items, selects the columns of those fields alone."""
    view = BOOK.views.of_paths(["price.units", "chapters.heading"])
    names = [getattr(column, "name", "") for column in view.columns]
    assert [name for name in names if name in BOOK.table.c] == ["shelf_id", "id", "price_units"]
    (chapters,) = view.collections
    rows: Any = chapters
    assert [column.name for column in rows.rows.select.selected_columns] == ["book_id", "heading"]
    assert not BOOK.views.of_paths(["title"]).collections


def test_a_message_without_what_is_asked_of_it_is_still_there() -> None:
    """Whether a message of columns is set is told by the columns that a mask leaves out, on each database."""
    view = BOOK.views.of_paths(["price.units"])
    dialects: Any = (sqlite, postgresql)
    for dialect in (each.dialect() for each in dialects):
        text = str(BOOK.rows.select(view).compile(dialect=dialect))
        assert "price_currency_code IS NOT NULL OR" in text
    unset: Any = (None, None, False, None)
    empty: Any = (None, None, True, None)
    assert not view.to_message(unset).HasField("price")
    assert view.to_message(empty).HasField("price")


def test_what_is_never_told_is_not_read() -> None:
    """A mask that names an INPUT_ONLY field is no error, and no statement selects it."""
    view = GADGETS.views.of_paths(["secret", "label"])
    assert [getattr(column, "name", "") for column in view.columns] == ["id", "label"]


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 31, 1000])
def test_ids_are_padded_to_a_power_of_two(count: int) -> None:
    """A padded list has the same ids, and a length that is a power of two."""
    found = padded(list(range(count)))
    assert set(found) == set(range(count))
    assert len(found).bit_count() == 1
    assert len(found) < 2 * count


def _memory_of(schema: Schema, start: int, count: int) -> int:
    """Return the bytes that are kept after some masks, each of another key and of other fields."""
    fields = [field.name for field in schema.descriptor.fields]
    for number in range(start, start + count):
        chosen = [name for bit, name in enumerate(fields) if number >> (bit % 16) & 1]
        schema.rows.select(schema.views.of_paths([*chosen, f"labels.key{number}"]))
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


def test_many_masks_do_not_fill_the_memory() -> None:
    """After as many masks as are kept, many more take no more memory."""
    tracemalloc.start()
    try:
        before = _memory_of(BOOK, 0, 2 * KEPT_VIEWS)
        assert _memory_of(BOOK, 2 * KEPT_VIEWS, 4 * KEPT_VIEWS) < before + (1 << 20)
    finally:
        tracemalloc.stop()
