// Package rule is right as built here and wrong in its portable twin.
package rule
