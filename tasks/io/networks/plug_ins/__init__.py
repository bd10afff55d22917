"""Plug-ins that are networks, or stand where networks do: restorers, codecs and metrics."""
