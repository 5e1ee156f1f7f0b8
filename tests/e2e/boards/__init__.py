"""Every query of every board and rule, asked of real stores over data of every act of the demo."""
