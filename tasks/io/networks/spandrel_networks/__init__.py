"""Restoration networks that spandrel recognises, loaded and tried out."""
