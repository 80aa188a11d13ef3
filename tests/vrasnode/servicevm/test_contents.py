"""The virtual server's image has what its program needs."""

import ast
import sys

from vrasnode.servicevm.build.contents import PYTHON_MODULES, program_files


def test_every_module_that_the_program_imports_is_in_the_image() -> None:
    imported = set()
    for file in program_files():
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                imported |= {name.name for name in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                imported.add(node.module)

    needed = {name.partition(".")[0] for name in imported} - {"vrasnode"}
    assert needed <= {*PYTHON_MODULES, *sys.builtin_module_names}
