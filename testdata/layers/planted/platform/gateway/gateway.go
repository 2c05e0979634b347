// Package gateway imports the SDK, and so the framework.
package gateway

import _ "daulat/platform/sdk"
