"""The rules engine: which rule holds for an attribute, and what its operator does to the element."""
