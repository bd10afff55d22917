"""Figures of the report, drawn as PNG without a screen; equal input gives equal bytes."""
