"""Forecasts of a render: time, memory and disk."""
