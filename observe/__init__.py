"""Observe watches an AI platform: GPU telemetry, gateway traces and predictions in one DuckDB, alerts inside a declared false-alarm budget."""
