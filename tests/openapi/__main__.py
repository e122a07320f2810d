"""The description of the API before the tools of others: Redocly's recommended rules, Spectral's
rules for OpenAPI, and a client by openapi-typescript that compiles under strict.
``make openapi-lint``"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
DOCUMENT = HERE.parent / "api" / "openapi.json"
"""As ``tests/api/test_description.py`` compares it with what the panel answers."""
BIN = HERE / "node_modules" / ".bin"
STRICT = "--strict --noEmit --target es2022 --module nodenext --moduleResolution nodenext"


def tools(work: Path) -> dict[str, list[str]]:
    """What is run, by name, in this order."""
    document, schema, client = DOCUMENT, work / "schema.d.ts", work / "client.ts"
    ruleset = work / "spectral.yaml"
    ruleset.write_text("extends: ['spectral:oas']\n", encoding="utf-8")
    return {
        "redocly": [str(BIN / "redocly"), "lint", "--extends", "recommended", str(document)],
        "spectral": [str(BIN / "spectral"), "lint", "--ruleset", str(ruleset), str(document)],
        "openapi-typescript": [
            str(BIN / "openapi-typescript"),
            str(document),
            "--output",
            str(schema),
        ],
        "tsc": [str(BIN / "tsc"), *STRICT.split(), str(client)],
    }


def main() -> int:
    failed = []
    # Beside node_modules, where the compiler looks for openapi-fetch.
    with tempfile.TemporaryDirectory(prefix="work-", dir=HERE) as folder:
        work = Path(folder)
        shutil.copy(HERE / "client.ts", work)
        for name, command in tools(work).items():
            done = subprocess.run(command, cwd=work, capture_output=True, text=True, check=False)
            sys.stdout.write(f"{name}: {'failed' if done.returncode else 'passed'}\n")
            if done.returncode:
                failed.append(name)
                sys.stdout.write(done.stdout + done.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
