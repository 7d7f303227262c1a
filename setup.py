"""What pyproject.toml cannot say: the folder `configs` is the package `jssl.configs`."""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=['jssl', 'jssl.*']), 'jssl.configs', 'jssl.configs.eval'],
    package_dir={'jssl.configs': 'configs'},
)
