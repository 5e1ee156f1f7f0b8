"""Adapter for the channels of gRPC, ``grpc.aio``'s and the sync ones."""

from .adapter import GrpcAdapter

__all__ = ["GrpcAdapter"]
