package canon

import _ "testing"
