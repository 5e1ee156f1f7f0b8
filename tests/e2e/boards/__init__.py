"""All queries of boards and rules, evaluated by real stores over data of each act of the demo."""
