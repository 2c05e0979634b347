//go:build never

package half

import _ "time"
