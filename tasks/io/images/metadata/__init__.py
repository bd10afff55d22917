"""What an image file says beside its pixels: colour profile, Exif, XMP, resolution."""
