// Package loot could hold anything.
package loot

import _ "net/http"
