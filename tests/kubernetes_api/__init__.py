"""The Kubernetes API over HTTP, for tests: one server, and two clusters behind it.

:mod:`~kubernetes_api.scripted` keeps Jobs, pods, events and workflows of one namespace; tests say
what becomes of them, and the server misbehaves on demand. :mod:`~kubernetes_api.toy` is a cluster
of processes with controllers and a node: tests of real clusters are tried on it.
"""
