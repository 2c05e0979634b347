// Package web breaks no rule.
package web

import _ "daulat/core/canon"
