"""Near-duplicates: images of data sets that show nearly the same, found before they mislead."""
