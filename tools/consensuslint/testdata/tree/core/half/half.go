// Package half has a file that no known tags build.
package half
