"""Readers only: what people and programs see of the topics. Nothing here writes."""
