"""How the standard methods work, for any resource.

A `Resource` says which message is kept in which table; `bind` turns resources and the services of their protos
into `Rpc`s, each with the function that serves it, compiled and verified once at start.
"""

from tablestakes.crud.bind import bind
from tablestakes.crud.declaration import DeclarationError
from tablestakes.crud.schema import Plan
from tablestakes.crud.resource import Resource, Serve, Transition
from tablestakes.crud.rpc import Rpc
from tablestakes.crud.verb.page import PageTokens

__all__ = ["DeclarationError", "PageTokens", "Plan", "Resource", "Rpc", "Serve", "Transition", "bind"]
