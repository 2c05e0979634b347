// Package clean stands for a part of that module that does not.
package clean
