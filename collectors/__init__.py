"""Collectors turn what the world says (bytes) into rows; they never touch the store."""
