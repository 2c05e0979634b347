// Package tagged hides an import behind a tag.
package tagged
