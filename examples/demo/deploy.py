"""The shop's deployment tool: asks the deployer to put a version in place, and waits until it serves.

``SHOP_DEPLOYER=http://… python3 -m examples.demo.deploy payments v1``; the standard library only, so that any Python
of the machine will do. This is what the manifest of payments names as the way to roll it back.
"""

from __future__ import annotations

import json
import os
import sys
import urllib.error
import urllib.request


def main(service: str, version: str) -> int:
    """0 when the version serves."""
    deployer = os.environ.get("SHOP_DEPLOYER")
    if not deployer:
        print("SHOP_DEPLOYER is not set: where is the deployer?", file=sys.stderr)
        return 2
    print(f"deploying {service} {version} …", flush=True)
    body = json.dumps({"service": service, "version": version}).encode()
    request = urllib.request.Request(deployer, data=body, headers={"content-type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=45) as answer:
            print(answer.read().decode().strip(), flush=True)
    except urllib.error.HTTPError as error:
        print(f"the deployer refused: {error.read().decode().strip()}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"the deployer does not answer: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))
