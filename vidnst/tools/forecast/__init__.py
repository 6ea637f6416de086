"""Forecasts of a render: its plan, and the time, memory and disk it takes."""
