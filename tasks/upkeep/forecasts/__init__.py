"""Forecasts: what a run or a study is going to make, how long that takes and how much room."""
