"""How often `diagnose` names what is wrong, on real load with one hidden incident a run.

``make -C tests/studies score``. Each run sends real any-llm calls to the fake provider, first
without the incident and then with it; `diagnose` sees nothing but a snapshot of the end of each
period. What a run does is drawn from its seed and index alone.
"""
