"""Outside programs that the tests start and use."""
