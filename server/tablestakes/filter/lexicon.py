r"""The parts of a filter's text, as regular expressions: the grammar and the shape of a filter are made of them.

Every quantifier before something that may fail is possessive, so no text takes more than one pass.
"""

import re

from tablestakes.filter.error import FilterError

KEYWORDS = frozenset({"AND", "OR", "NOT"})

CHARACTER = r"""[^\s"'(),<>=!:\\]"""
"""A character of a value or a word without quotes."""

STEP = r"""[^\s"'(),<>=!:\\.]++"""
"""A step of a field's path."""

_IN_DOUBLE, _IN_SINGLE = r"""(?:[^"\\]++|\\[\s\S])*+""", r"""(?:[^'\\]++|\\[\s\S])*+"""

CLOSING = rf"""(?:(?<="){_IN_DOUBLE}"|(?<='){_IN_SINGLE}')"""
"""All of a text in quotes that follows the first one."""

UNCLOSED = rf"""(?:(?<="){_IN_DOUBLE}\\?\Z|(?<='){_IN_SINGLE}\\?\Z)"""
"""The rest of a filter after a quote that is not closed."""

STRING = rf"""(?:"{_IN_DOUBLE}"|'{_IN_SINGLE}')"""

TIMESTAMP = r"""[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}(?:[:0-9.Zz+-])*+"""
"""The one value without quotes that has colons."""

BARE = rf"""(?:{TIMESTAMP}|(?!(?:AND|OR|NOT)(?!{CHARACTER}))(?!\$){CHARACTER}++(?!\())"""
"""A value on the right of an operator, without quotes. What a parenthesis follows is a function's name."""

MEMBER = rf"""(?!(?:AND|OR|NOT)(?!{CHARACTER}))(?!-(?!\.?[0-9])){STEP}(?:\.(?:{STEP}|{STRING}))*+(?!\()"""
"""The path of a field, or a word. A dash at its front is a NOT, or the sign of a number."""

CALL = rf"""(?!(?:AND|OR|NOT)\()(?!-){CHARACTER}++\("""

PARAMETER = r"\$[A-Za-z_][A-Za-z0-9_]*+(?:\.[A-Za-z_][A-Za-z0-9_]*+)*+"
"""`$` and a name, which may have steps: `$caller.user`."""

_STEPS = re.compile(rf"{STEP}|{STRING}")

ESCAPES = {"\\": "\\", '"': '"', "'": "'", "*": "*", "n": "\n", "r": "\r", "t": "\t"}
_ESCAPE = re.compile(r"\\(u[0-9A-Fa-f]{4}|[\s\S])")
_STAR = re.compile(r"(?:[^*\\]++|\\[\s\S])*+\*")


def steps(member: str, position: int) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Return the steps of a path, and the place of each."""
    found = list(_STEPS.finditer(member))
    places = tuple(position + each.start() for each in found)
    return tuple(content(each[0], place) for each, place in zip(found, places, strict=True)), places


def wildcards(raw: str) -> tuple[bool, bool]:
    """Return whether a value has a wildcard at its front, and at its end.

    Args:
        raw: The value as it is written.
    """
    body = raw[1:-1] if raw[0] in "\"'" else raw
    if "*" not in body:
        return False, False
    front, end = body[0] == "*", body[-1] == "*"
    if end and body[-2:-1] == "\\":
        # An odd number of backslashes escapes the star.
        end = (len(body) - 1 - len(body[:-1].rstrip("\\"))) % 2 == 0
    return front, end


def content(raw: str, position: int) -> str:
    """Return the text of a value without its quotes and escapes.

    Raises:
        FilterError: An escape is unknown, or stands for no character.
    """
    if raw[0] not in "\"'":
        return raw
    body = raw[1:-1]
    return _unescape(body, position + 1) if "\\" in body else body


def literal(raw: str, position: int) -> str:
    """Return the text of a value that has no wildcard.

    Raises:
        FilterError: It has one, or an escape is wrong.
    """
    if "*" in raw:
        body = raw[1:-1] if raw[0] in "\"'" else raw
        if _STAR.match(body):
            raise _misplaced(position)
    return content(raw, position)


def between_wildcards(raw: str, position: int) -> str:
    """Return the text of a value without the wildcards at its ends.

    Raises:
        FilterError: There is a wildcard inside, or an escape is wrong.
    """
    front, end = wildcards(raw)
    body = raw[1:-1] if (quoted := raw[0] in "\"'") else raw
    inner = body[front : len(body) - (end and len(body) > front)]
    if "*" in inner and _STAR.match(inner):
        raise _misplaced(position)
    return _unescape(inner, position + quoted + front) if quoted and "\\" in inner else inner


def _misplaced(position: int) -> FilterError:
    return FilterError(
        r"a wildcard stands at the front or at the end of a text, after = != or :. A star itself is \*, in quotes.",
        position + 1,
        "FILTER_WILDCARD",
    )


def quoted(text: str) -> str:
    """Return a text as a value that means exactly it."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("*", "\\*")
    return f'"{escaped}"'


def _unescape(body: str, position: int) -> str:
    def character(found: re.Match[str]) -> str:
        code = found[1]
        if code[0] == "u" and len(code) > 1:
            number = int(code[1:], 16)
            if 0xD800 <= number <= 0xDFFF:  # noqa: PLR2004 - the surrogates, which are no characters
                place = position + found.start() + 1
                raise FilterError(f"{found[0]} is no character.", place, "FILTER_ESCAPE")
            return chr(number)
        if code not in ESCAPES:
            place = position + found.start() + 1
            raise FilterError(
                rf"{found[0]} is no escape: there are \\ \" \' \* \n \r \t and \u with four digits.",
                place,
                "FILTER_ESCAPE",
            )
        return ESCAPES[code]

    return _ESCAPE.sub(character, body)
