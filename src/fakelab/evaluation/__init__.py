"""How good is it, honestly: every number comes from `fakelab.analyze`, the road that users run."""
