"""The job: options, graph, command line."""
