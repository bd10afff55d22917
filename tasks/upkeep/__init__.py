"""Looking after a workspace: status, verify, retry, gc, forget, pull weights."""
