"""The program's name in the doctor's report."""

from gluellm_pools.doctor.run_report import run_report


def test_only_the_name_of_a_script_is_printed(tmp_path):
    """Other arguments can be a question to a model, or too long to be a file's name."""
    for argument in ("x" * 300, "a/" * 5000, "a\0b", ""):
        report = run_report(tmp_path, 1, ["ask", argument], 0, as_json=False)
        assert report.startswith("gluellm-pools doctor: ask ended with status 0\n")
    (script := tmp_path / "ask.py").touch()
    report = run_report(tmp_path, 1, ["python", str(script)], 0, as_json=False)
    assert report.startswith("gluellm-pools doctor: python /")
