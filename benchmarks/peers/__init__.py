"""UserService as others would write it by hand, without this engine, to be measured beside it."""
