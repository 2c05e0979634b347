// Package early imports what imports node.
package early

import _ "daulat/ui/cli"
