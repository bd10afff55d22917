"""Plug-ins: what other packages bring under a name, found, checked and made."""
