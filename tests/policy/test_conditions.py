"""The conditions of row policies: read at start, and never true by an attribute that the caller does not have."""

from dataclasses import replace
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine, insert, select

from marketplace_service import SERVICE
from marketplace_service.models import Base, Comment, Post, User
from tablestakes import ANYONE, Caller, DeclarationError, RowPolicy
from tablestakes.crud.query.token import PageTokens
from tablestakes.crud.security.restrict import secure
from tablestakes.crud.security.row_security import current_security, elevated
from tablestakes.policy.policies import Policies
from tests.policy.world import THEN

METHODS = SERVICE.bind(PageTokens(b""))
SCHEMAS = {each.schema.descriptor.full_name: each.schema for each in METHODS}
GET_POST = next(each for each in METHODS if each.name == "GetPost")
TIMES = {"create_time": THEN, "update_time": THEN}


@cache
def policies_with(text: str, name: str = "Post") -> Policies:
    """Return the marketplace's policies with one alone for a resource."""
    rows = (RowPolicy(to=ANYONE, read=text),)
    resources = [replace(each, rows=rows) if each.descriptor.name == name else each for each in SERVICE.resources]
    return Policies(resources, SCHEMAS)


@pytest.fixture(scope="module")
def engine() -> Any:
    """Three posts: two of one author, of which one is published, and one of another."""
    made = create_engine("sqlite://")
    Base.metadata.create_all(made)
    posts = [(1, 1, "DRAFT"), (2, 1, "PUBLISHED"), (3, 2, "DRAFT")]
    with made.begin() as connection:
        users = [{"id": n, "email": f"{n}@x.org", "username": f"u{n}", **TIMES} for n in (1, 2)]
        connection.execute(insert(User), users)
        rows = [{"id": i, "author_id": a, "state": s, "title": "t", **TIMES} for i, a, s in posts]
        connection.execute(insert(Post), rows)
        connection.execute(insert(Comment), [{"id": 1, "post_id": 1, "author_id": 2, "body": "b", **TIMES}])
    secure(made)
    yield made
    made.dispose()


def seen(engine: Any, text: str, caller: Caller) -> set[int]:
    """Return the ids of the posts that a caller sees by a policy."""
    token = current_security.set(policies_with(text).of(caller, GET_POST))
    try:
        with engine.connect() as connection:
            return set(connection.scalars(select(Post.id)))
    finally:
        current_security.reset(token)


NOBODY, FIRST = Caller(), Caller("s", attributes={"user": "users/1"})


@pytest.mark.parametrize(
    ("text", "nobody", "first"),
    [
        ("author = $caller.user", set(), {1, 2}),
        ("state = PUBLISHED OR author = $caller.user", {2}, {1, 2}),
        ("NOT author = $caller.user", set(), {3}),
        ("author != $caller.user", set(), {3}),
        ("NOT (author = $caller.user OR state = PUBLISHED)", set(), {3}),
        ("NOT (author = $caller.user AND state = DRAFT)", {2}, {2, 3}),
        ("author.username = $caller.name", set(), set()),
        ("*", {1, 2, 3}, {1, 2, 3}),
        ("", set(), set()),
    ],
)
def test_a_term_without_its_attribute_is_true_of_no_row(
    engine: Any, text: str, nobody: set[int], first: set[int]
) -> None:
    """A caller without an attribute gains nothing by a term with it, and by NOT in front of it neither."""
    assert seen(engine, text, NOBODY) == nobody
    assert seen(engine, text, FIRST) == first


@settings(deadline=None)  # the first statement of each shape is compiled
@given(value=st.text(max_size=30))
def test_no_value_of_an_attribute_opens_a_policy(engine: Any, value: str) -> None:
    """Whatever text an attribute has, it is compared as a value, and matches the rows with that value alone."""
    own = {"users/1": {1, 2}, "users/2": {3}}.get(value, set())
    assert seen(engine, "author = $caller.user", Caller("s", attributes={"user": value})) == own


terms = st.sampled_from(
    ["author = $caller.user", "state = PUBLISHED", "state != DRAFT", "author != $caller.user", 'title = "t"']
)
texts = st.recursive(
    terms,
    lambda inner: st.one_of(
        inner.map(lambda one: f"NOT ({one})"),
        st.tuples(inner, inner).map(lambda two: f"({two[0]}) AND ({two[1]})"),
        st.tuples(inner, inner).map(lambda two: f"({two[0]}) OR ({two[1]})"),
    ),
    max_leaves=6,
)


@settings(deadline=None)
@given(text=texts)
def test_nobody_sees_more_than_somebody_who_could_be_anyone(engine: Any, text: str) -> None:
    """Without the attribute a caller sees no row that it would not see with some value of it, whichever filter."""
    with_any = seen(engine, text, FIRST) | seen(engine, text, Caller("s", attributes={"user": "users/2"}))
    assert seen(engine, text, NOBODY) <= with_any


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("athor = $caller.user", "athor"),
        ("author = $user", "$user is no parameter"),
        ("author = ", "value"),
        ('password = "x"', "password"),
    ],
)
def test_a_policy_that_is_no_filter_is_refused_at_start(text: str, said: str) -> None:
    """A policy with an unknown field or parameter stops the service from starting, and its role is named."""
    name = "User" if "password" in text else "Post"
    with pytest.raises(DeclarationError, match="anyone") as raised:
        policies_with(text, name)
    assert said in str(raised.value)


def test_a_subquery_is_restricted_and_elevated_work_is_not(engine: Any) -> None:
    """A table is under its policy wherever a statement reads it, and under none where work is elevated."""
    inside = select(Comment.id).where(Comment.post_id.in_(select(Post.id)))
    exists = select(Comment.id).where(select(1).where(Post.id == Comment.post_id).exists())
    token = current_security.set(policies_with("state = PUBLISHED").of(FIRST, GET_POST))
    try:
        with engine.connect() as connection, elevated():
            assert set(connection.scalars(select(Post.id))) == {1, 2, 3}
        with engine.connect() as connection:
            alias = Post.__table__.alias()
            assert set(connection.scalars(select(alias.c.id))) == {2}
            assert set(connection.scalars(select(Post.id).subquery().select())) == {2}
            assert not set(connection.scalars(inside))
            assert not set(connection.scalars(exists))
            cte = select(Post.id).cte("those")
            assert set(connection.scalars(select(cte))) == {2}
    finally:
        current_security.reset(token)
