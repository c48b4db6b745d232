"""A List, said in SQL: its pages."""
