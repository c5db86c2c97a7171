"""python -m perf [SUITE ...] [--option ...]

Runs the suites named, or all, each with the options that follow; `python -m perf scoring --help` lists a suite's.
A suite is a module of this folder that has `main(arguments: list[str])`.
"""

from __future__ import annotations

import ast
import importlib
import sys
from pathlib import Path


def suites() -> dict[str, str]:
    """Name of each suite -> the first line of its docstring, read without importing it."""
    found = {}
    for path in sorted(Path(__file__).parent.glob("[!_]*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        if any(isinstance(node, ast.FunctionDef) and node.name == "main" for node in tree.body):
            found[path.stem] = (ast.get_docstring(tree) or "").partition("\n")[0]
    return found


def main() -> None:
    arguments, known = sys.argv[1:], suites()
    first_option = next((index for index, one in enumerate(arguments) if one.startswith("-")), len(arguments))
    named, options = arguments[:first_option], arguments[first_option:]
    unknown = [one for one in named if one not in known]
    if unknown or (not named and options[:1] in (["-h"], ["--help"])):
        listed = "\n".join(f"  {name:10} {what}" for name, what in known.items())
        sys.exit(f"{__doc__}\n{listed}" + (f"\n\nNo suite is called {', '.join(unknown)}." if unknown else ""))
    for name in named or known:
        print(f"\n== {name}")
        importlib.import_module(f"perf.{name}").main(options)


if __name__ == "__main__":
    main()
