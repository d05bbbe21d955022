"""Detectors turn Evidence into Findings; they are pure functions of their arguments."""
