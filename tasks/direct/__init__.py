"""Without a workspace: an operator's file applied to images, two folders compared."""
