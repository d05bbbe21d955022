"""Dashboards are pages that show what a view can say, and nothing else."""
