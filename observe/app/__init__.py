"""The running service: the only place that names wings and puts the stages in order."""
