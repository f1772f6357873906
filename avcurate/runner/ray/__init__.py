"""Stages on a Ray cluster: replicas that stream, and one driver that keeps the books."""
