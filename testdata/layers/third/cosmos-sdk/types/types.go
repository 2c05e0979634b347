// Package types stands for the framework that few may reach.
package types
