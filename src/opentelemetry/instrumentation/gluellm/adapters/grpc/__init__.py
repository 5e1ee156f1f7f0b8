"""Adapter for the channels of gRPC, ``grpc.aio``'s and the sync ones."""
