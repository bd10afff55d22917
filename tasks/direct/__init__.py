"""Without a workspace: an operator's file applied to images, as `dotpipe apply` does."""
