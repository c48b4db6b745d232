"""Resources compiled at start: names, fields, columns, and the way between messages and rows."""
