"""Checks that need no neural network: where a file says it is from, what it carries, and how it was compressed."""
