"""Alerts turn Findings into alerts, incidents and actions, and deliver them."""
