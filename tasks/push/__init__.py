"""The verb push: a run's images, tables and numbers to a repository of data sets on the Hub."""
