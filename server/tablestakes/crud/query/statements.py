"""The statements of one List method: each is made once for each way to ask."""

from functools import lru_cache

from sqlalchemy import ColumnElement

from tablestakes.crud.query.keyset import PageStatement, page_statement
from tablestakes.crud.query.order import Order
from tablestakes.crud.query.total import Counting
from tablestakes.crud.schema.name import Names
from tablestakes.crud.schema.schema import Schema
from tablestakes.crud.schema.view import View
from tablestakes.filter import Compiled
from tablestakes.filter.filters import MOST_SHAPES


class ListStatements:
    """The statements of a List method; of the pages, and of the totals, those that were used last are kept.

    Args:
        schema: The resource.
        most_counted: How many resources are counted at most for a total.
    """

    def __init__(self, schema: Schema, most_counted: int) -> None:
        self._schema = schema
        self._most = most_counted
        self.page = lru_cache(MOST_SHAPES)(self._page)
        self.counting = lru_cache(MOST_SHAPES)(self._counting)

    def _page(
        self,
        view: View,
        order: Order,
        after: tuple[bool, ...] | None,
        skip: bool,
        below: tuple[int, ...],
        only: Compiled | None,
        deleted: bool,
    ) -> PageStatement:
        """Return the statement of a page.

        Args:
            view: The view.
            order: The order.
            after: For each column of the order, whether the place that the page begins after has a value of it;
                None for the first page.
            skip: Whether resources are left out before the page.
            below: The variables of the name's pattern whose ids the parent has.
            only: The filter, None for all resources.
            deleted: Whether there are those that are deleted softly too.
        """
        found = conditions(self._schema.names, below, only, deleted=deleted)
        return page_statement(view.columns, order, found, after=after, skip=skip)

    def _counting(self, below: tuple[int, ...], only: Compiled | None, deleted: bool) -> Counting:
        found = conditions(self._schema.names, below, only, deleted=deleted)
        return Counting(self._schema.table, found, self._most)


def conditions(
    names: Names, below: tuple[int, ...], only: Compiled | None, *, deleted: bool = False
) -> list[ColumnElement[bool]]:
    """Return the conditions on the rows of a request for several resources.

    Args:
        names: The names of the resource.
        below: The variables of the name's pattern whose ids the parent has.
        only: The filter, None for all resources.
        deleted: Whether there are those that are deleted softly too.
    """
    return [
        *([] if deleted else names.live),
        *(names.equals(index) for index in below),
        *([] if only is None else [only.clause]),
    ]
