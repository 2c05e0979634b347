// Package cli breaks no rule.
package cli

import _ "daulat/platform/agent"

import _ "daulat/ui/web"
