"""What is worked out of a resource at start: names, fields, columns, and the way between messages and rows."""

from server.crud.plan.collection import Collection
from server.crud.plan.compile import Plan, compile_plan, compile_plans
from server.crud.plan.field import Field
from server.crud.plan.view import View

__all__ = ["Collection", "Field", "Plan", "View", "compile_plan", "compile_plans"]
