// Package agent breaks no rule.
package agent

import _ "daulat/data/blob"
