"""The marketplace: the service that is served out of the box."""
