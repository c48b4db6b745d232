"""How much a filter may ask for."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Bounds of a filter.

    Attributes:
        length: The most characters.
        depth: The most parentheses and negations around a term.
        terms: The most comparisons and words.
        scans: The most terms that look into text: a wildcard at the front, `:` on a text, a word by itself. No
            index serves them, so each is applied to every row that the rest of the filter leaves.
        unindexed: Whether fields without an index, and terms that look into text, may be asked for at all.
    """

    length: int = 4096
    depth: int = 16
    terms: int = 100
    scans: int = 4
    unindexed: bool = True
