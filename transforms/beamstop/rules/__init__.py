"""The rules engine: which rule applies to an attribute, and what its operator does to the element."""
