// Package provider breaks no rule.
package provider

import _ "daulat/data/blob"

import _ "daulat/core/canon"
