"""One catalogue of incidents, of which is measured what `diagnose` and the alerts say."""
