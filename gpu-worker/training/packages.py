"""The npm packages that the training data is made of: pictures and their names."""

import base64
import hashlib
import subprocess
import tarfile
from pathlib import Path

# name -> version and sha512 of the archive, as a lock file of npm has it.
PACKAGES = {
    "@lobehub/fluent-emoji-3d": ("1.1.0", "Wlq2lVStTnr8BDpIJ0pEnTKO4LuDxxqTEhTvRtD1DLRF0me7ogeRQjKoehDHXuVJ2Qaecgl5wRBv60lUAG3h7g=="),
    "unicode-emoji-json": ("0.9.0", "HdrQW/7SdbXUsTd8uTATv7LvQJkCSgbAgRCDCtOhQ6xn3EAx+xZHQtRniOXWJK3ywIqPegkNhP4U4EbuFsiQng=="),
}


class PackageError(Exception):
    """A package that can't be had, or is not the one that was asked for."""


def fetch(name, cache):
    """
    The folder of a package, unpacked below `cache`; fetched with `npm pack` the first time.
    @raises PackageError when npm fails, or the archive is another one.
    """
    version, sha512 = PACKAGES[name]
    folder = Path(cache) / f"{name.replace('/', '+')}@{version}"
    if folder.is_dir():
        return folder / "package"
    partial = folder.with_name(f"{folder.name}.partial")
    partial.mkdir(parents=True, exist_ok=True)
    packed = subprocess.run(["npm", "pack", "--silent", f"{name}@{version}"], cwd=partial, capture_output=True, text=True)
    if packed.returncode:
        raise PackageError(f"npm pack {name}@{version}: {packed.stderr.strip()}")
    archive = partial / packed.stdout.strip().splitlines()[-1]
    found = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
    if found != sha512:
        raise PackageError(f"{name}@{version}: its sha512 is {found}, and must be {sha512}")
    with tarfile.open(archive) as tar:
        tar.extractall(partial, filter="data")
    archive.unlink()
    partial.rename(folder)
    return folder / "package"
