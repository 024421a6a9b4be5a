"""Checks of rendered manifests. Each returns what is wrong, in words; nothing wrong is no words."""
