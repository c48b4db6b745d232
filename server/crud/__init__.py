"""How the standard methods work, for any resource.

A `Resource` says which message is kept in which table; `bind` turns resources and the services of their protos
into `Rpc`s, each with the function that serves it, compiled and verified once at start.
"""

from server.crud.bind import bind
from server.crud.declaration import DeclarationError
from server.crud.plan import Plan
from server.crud.resource import Resource, Serve, Transition
from server.crud.rpc import Rpc
from server.crud.verb.page import PageTokens

__all__ = ["DeclarationError", "PageTokens", "Plan", "Resource", "Rpc", "Serve", "Transition", "bind"]
