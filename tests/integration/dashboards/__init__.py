"""The boards, rules and manifests as files: nothing is asked, no program runs."""
