"""Networks whose features metrics compare: those of sets of images, and LPIPS of pairs."""
