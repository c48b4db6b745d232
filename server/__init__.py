"""Tablestakes: protobuf-defined CRUD over SQLAlchemy, served by grpc.aio, seen by Prometheus."""
