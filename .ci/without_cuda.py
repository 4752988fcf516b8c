"""Makes torch's wheel for Linux run where no CUDA library is: .ci/without_cuda.py SITE-PACKAGES

The wheel of the registry is linked to 3 GB of CUDA libraries, which the tests never call. In their places come libraries with the
same names and symbols that answer 100, "no device", to everything; and torch no longer asks pip for the real ones. A wheel
that is linked to none (a CPU build, another system) stays as it is. Needs objdump and cc.
"""

import re
import subprocess
import sys
from pathlib import Path

ASKED = re.compile(r"Requires-Dist: (cuda-|nvidia-|triton)")
LIBRARY = re.compile(r"lib(cu|nv|nccl)")
FUNCTION = re.compile(r"_*(cu|nccl|nvrtc|nvshmem)")


def told(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def missing(folder):
    """Of each library that is linked to and not there the symbols, each with its version."""
    own = {file.name for file in folder.iterdir()}
    found = {}
    for file in folder.glob("*.so*"):
        headers = told("objdump", "-p", file)
        needed = [name for name in re.findall(r"NEEDED +(\S+)", headers) if LIBRARY.match(name) and name not in own]
        for name in needed:
            found.setdefault(name, {})
        library_of, library = {}, None
        for line in headers.splitlines():
            if from_library := re.match(r"\s+required from (\S+):", line):
                library = from_library[1]
            elif (version := re.match(r"\s+0x\S+ 0x\S+ \d+ (\S+)$", line)) and library in found:
                library_of[version[1]] = library
        for line in told("objdump", "-T", file).splitlines():
            symbol = re.match(r"\S+ .{7} \*UND\*\t\S+\s+(?:\(?(\S+?)\)?\s+)?(\S+)$", line)
            if symbol and symbol[1] in library_of:
                found[library_of[symbol[1]]][symbol[2]] = symbol[1]
            elif symbol and needed and symbol[1] in (None, "Base") and FUNCTION.match(symbol[2]):
                found[needed[0]].setdefault(symbol[2], None)
    return found


def make(file, symbols):
    code = "".join(f"int {symbol}(void) {{ return 100; }}\n" for symbol in symbols)
    script = file.with_suffix(".versions")
    for version in sorted(set(filter(None, symbols.values()))):
        names = " ".join(f"{symbol};" for symbol, its in symbols.items() if its == version)
        script.write_text((script.read_text() if script.exists() else "") + f"{version} {{ global: {names} }};\n")
    versions = [f"-Wl,--version-script,{script}"] if script.exists() else []
    command = ["cc", "-shared", "-w", "-x", "c", "-", "-o", str(file), f"-Wl,-soname,{file.name}", *versions]
    subprocess.run(command, input=code, text=True, check=True)
    script.unlink(missing_ok=True)


def main():
    packages = Path(sys.argv[1])
    (metadata,) = packages.glob("torch-*.dist-info/METADATA")
    lines = metadata.read_text().splitlines(keepends=True)
    metadata.write_text("".join(line for line in lines if not ASKED.match(line)))
    folder = packages / "torch" / "lib"
    found = missing(folder)
    for name, symbols in found.items():
        make(folder / name, symbols)
    print(f"torch runs without {len(found)} libraries of CUDA")


if __name__ == "__main__":
    main()
