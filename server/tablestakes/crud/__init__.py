"""The standard methods and their declaration, for any resource.

A `Resource` says which message is kept in which table; `bind` turns resources and the services of their protos
into `Method`s, each with the function that serves it, compiled and verified once at start; `perform` runs the work
that such a function returns.
"""
