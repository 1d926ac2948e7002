"""Beam's options, with views that are made once."""

from typing import Any

from apache_beam.options.pipeline_options import PipelineOptions


class KeptViews(PipelineOptions):
    """Options that keep their views.

    Beam asks for a view some 900 times while it makes our graph, and builds an argument parser for each. That
    took 0.2 of the two seconds before the first file is read. All views share the values, so one of each
    kind is enough.
    """

    def view_as(self, cls: type[PipelineOptions]) -> Any:
        """Return the options as one of Beam's kinds."""
        views = self.__dict__.setdefault(_VIEWS, {})
        if cls not in views:
            views[cls] = super().view_as(cls)
        return views[cls]

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in super().__getstate__().items() if name != _VIEWS}


_VIEWS = "_views"
