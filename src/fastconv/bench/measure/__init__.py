"""The measurement: the one timer, the session that runs layers on runners, small studies, and the results' file."""
