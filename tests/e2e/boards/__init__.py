"""Every query of every board and rule, asked of real stores over data of every act of the demo.

``python -m e2e.boards`` prints what the tests look at.
"""
