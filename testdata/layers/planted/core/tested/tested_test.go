package tested

import _ "daulat/compute/provider"
