//go:build !integration

package matching_test

import (
	"testing"

	"github.com/xingfuma/happycode/matching/redistest"
)

// backends are what the scripts run on.
var backends = map[string]func(testing.TB) string{"embedded": redistest.Embedded}
