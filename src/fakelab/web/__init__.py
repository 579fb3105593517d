"""The pages and the REST interface: they parse, call `fakelab.service`, and render."""
