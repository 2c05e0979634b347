package tested

import (
	_ "go.uber.org/goleak"

	_ "daulat/compute/provider"
)
