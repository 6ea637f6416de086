"""HTML pages of reports and of the dashboard."""
