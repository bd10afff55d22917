"""JPEG, PNG, TIFF and BMP beyond what Pillow does: layouts that it misreads, damage that it hides.

Each module has a function ``load`` that returns the pixels of an image that Pillow has opened.
"""
