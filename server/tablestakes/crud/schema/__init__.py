"""What is worked out of a resource at start: names, fields, columns, and the way between messages and rows."""

from tablestakes.crud.schema.collection import Collection
from tablestakes.crud.schema.compile import Plan, compile_plan, compile_plans
from tablestakes.crud.schema.field import Field
from tablestakes.crud.schema.view import View

__all__ = ["Collection", "Field", "Plan", "View", "compile_plan", "compile_plans"]
