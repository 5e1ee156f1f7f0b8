"""Check boards with ``tsc``, as literals in TypeScript.

TypeScript reports unknown properties only in literals, not in imported JSON.
"""

import json
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

LINES: Final = ("12", "13")
"""Release lines of Grafana, as named in the package.json of the tools."""
_TYPES: Final = Path(__file__).with_name("board.ts")
_ERROR: Final = re.compile(r"^(\w+)\.ts\(\d+,\d+\): (.*)$")
Errors = dict[str, list[str]]
"""Errors of ``tsc`` by board name."""


def check(boards: Mapping[str, Any], line: str, packages: Path, folder: Path) -> Errors:
    """Type-check boards (by name) against a release line, with ``folder`` for generated files.

    Raises RuntimeError if ``tsc`` reports any other error than one in a board.
    """
    types = packages / "node_modules" / "@grafana" / f"schema-{line}" / "dist" / "types"
    (folder / "board.ts").write_bytes(_TYPES.read_bytes())
    (folder / "tsconfig.json").write_text(json.dumps(_configuration(types), indent=2))
    for name, board in boards.items():
        (folder / f"{name}.ts").write_text(literal(board, types))
    run = subprocess.run(
        ["node", packages / "node_modules" / "typescript" / "bin" / "tsc", "--pretty", "false"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    errors: Errors = {name: [] for name in boards}
    name = ""
    for reported in run.stdout.splitlines():
        if found := _ERROR.match(reported):
            name = found[1]
        if name not in errors:
            raise RuntimeError(run.stdout + run.stderr)
        errors[name].append(reported)
    if run.returncode and not any(errors.values()):
        raise RuntimeError(run.stdout + run.stderr)
    return errors


def _configuration(types: Path) -> dict[str, Any]:
    return {
        "compilerOptions": {
            "strict": True,
            "noEmit": True,
            "skipLibCheck": True,
            "target": "es2022",
            "module": "es2022",
            "moduleResolution": "bundler",
            "types": [],
            "paths": {
                "@grafana/schema": [str(types / "index.d.ts")],
                "@panel/*": [str(types / "raw" / "composable" / "*/panelcfg/x/types.gen.d.ts")],
            },
        },
        "include": ["*.ts"],
    }


def literal(board: Any, types: Path) -> str:
    """Return the board as TypeScript, with one literal per panel, so that errors name the panel."""
    panels = [one for panel in board.get("panels", []) for one in (*panel.get("panels", []), panel)]
    names = {id(panel): f"panel_{number}" for number, panel in enumerate(panels)}
    lines = ["import type { Board, Panel, Row } from './board';"]
    kinds = sorted({panel["type"] for panel in panels} - {"row"})
    lines += [f"import type * as {_name(kind)} from '@panel/{_name(kind)}';" for kind in kinds]
    for panel in panels:
        title = panel.get("title", "")
        lines.append(f"\n// {json.dumps(title)}")
        lines.append(f"const {names[id(panel)]}: {_type(panel['type'], types)} =")
        lines.append(f"{_object(panel, names)};")
    lines.append(f"\nexport const board: Board =\n{_object(board, names)};\n")
    return "\n".join(lines)


def _object(body: Any, names: Mapping[int, str]) -> str:
    """Return a literal of a board or a panel, which refers to its panels by name."""
    if "panels" not in body:
        return json.dumps(body, indent=2)
    rest = {key: value for key, value in body.items() if key != "panels"}
    inside = ", ".join(names[id(panel)] for panel in body["panels"])
    return f'{json.dumps(rest, indent=2).rstrip("}").rstrip()},\n  "panels": [{inside}]\n}}'


def _type(kind: str, types: Path) -> str:
    if kind == "row":
        return "Row"
    name = _name(kind)
    declared = (types / "raw/composable" / name / "panelcfg/x/types.gen.d.ts").read_text()
    # Not every kind of panel has its own field settings.
    custom = f"{name}.FieldConfig" if "interface FieldConfig" in declared else "{}"
    return f'Panel<"{kind}", {name}.Options, {custom}>'


def _name(kind: str) -> str:
    return kind.replace("-", "")
