// Package lending lies in a folder that the design does not know.
package lending
