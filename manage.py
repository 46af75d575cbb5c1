#!/usr/bin/env python
"""Django's command line, on the settings of the embedded stack unless told otherwise."""

import os
import sys

from django.core.management import execute_from_command_line

from config.entry import prepare_command
from config.variable import VariableError

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.local")
    try:
        prepare_command(sys.argv[1:])
        execute_from_command_line(sys.argv)
    except VariableError as error:
        sys.exit(str(error))
