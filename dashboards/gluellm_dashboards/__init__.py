"""The source of the boards, the rules and the alerts: ``make dashboards`` writes their files."""
