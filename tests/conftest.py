"""Where the tests' cast and their real parts come from."""

pytest_plugins = ["tests.lab.libvirtd", "tests.lab.lan", "tests.lab.server"]
