"""The copy of the project that newcomers' tests change serves here, too."""

from newcomer.conftest import checkout  # noqa: F401
