"""`python -m server`: the service that is served out of the box."""

import sys

from marketplace_service import SERVICE

if __name__ == "__main__":
    sys.exit(SERVICE.main())
