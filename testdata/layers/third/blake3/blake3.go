// Package blake3 stands for a module that core may import.
package blake3
