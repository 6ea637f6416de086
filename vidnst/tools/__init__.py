"""What surrounds rendering: previews, forecasts, benchmarks, distillation, and the check of a machine."""
