"""The Grafana dashboard, as data: each row is a module, and `draw` makes of the rows what Grafana reads."""
