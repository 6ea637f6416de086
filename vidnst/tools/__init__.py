"""Tools around rendering: previews, forecasts, benchmarks, distillation, and the check of a machine."""
