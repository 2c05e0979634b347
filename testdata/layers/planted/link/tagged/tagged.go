// Package tagged reaches the framework behind a tag.
package tagged
