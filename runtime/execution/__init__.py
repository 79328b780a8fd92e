"""Executions: their lifecycle, their host calls and what leaves through the egress proxy."""
