"""How often `diagnose` names the cause, on real load with one hidden cause a run.

``make score``. Each run sends real any-llm calls to the fake
provider, first without the cause and then with it; `diagnose` sees nothing but a snapshot of
the end of each period. Plans, load and faults know nothing of `diagnose` (`verdicts` and `playing`
do), and what a run does is drawn from its seed and index alone.
"""
