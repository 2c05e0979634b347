// Package sale breaks no rule.
package sale
